"""Check ``freshness_gap``: the gaps of recent rows against the budget of their modality. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from quality.checks.backlog import Backlog
from quality.checks.result import CheckResult, RawMetadataValue
from quality.quantiles import quantile
from quality.rows import Row
from quality.slas import Sla

_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def check_freshness(gaps: Mapping[str, Sequence[float]], slas: Mapping[str, Sla], backlog: Backlog) -> CheckResult:
    """Fails when a modality's gaps (seconds) exceed its budget, or the backlog has stalled.

    A quiet time is not stale: with nothing waiting and nothing landed the check passes, and its description says so.
    """
    metadata: dict[str, RawMetadataValue] = {"lag": backlog.lag, "waiting_s": round(backlog.waiting_s, 3)}
    reasons = []
    for modality, seconds in sorted(gaps.items()):
        if not seconds:
            continue
        sla = slas[modality]
        share = sum(gap <= sla.gap_s for gap in seconds) / len(seconds)
        metadata |= {f"{modality}_{name}_s": round(quantile(seconds, q), 3) for name, q in _QUANTILES.items()}
        metadata |= {f"{modality}_rows": len(seconds), f"{modality}_share_within": round(share, 4)}
        if share < sla.share:
            reasons.append(f"{modality}: {share:.1%} within {sla.gap_s:g} s, {sla.share:.0%} promised")
    if backlog.stalled:
        reasons.insert(0, f"the watermark has stalled: {backlog.lag} wait, the oldest for {backlog.waiting_s:.0f} s")
    rows = sum(len(seconds) for seconds in gaps.values())
    if reasons:
        return CheckResult(passed=False, description="; ".join(reasons), metadata=metadata)
    if rows:
        return CheckResult(passed=True, description=f"{rows} rows within their budgets", metadata=metadata)
    waiting = f"{backlog.lag} wait, none for long" if backlog.lag else "nothing waits"
    return CheckResult(passed=True, description=f"quiet: nothing landed and {waiting}", metadata=metadata)


def gap_s(row: Row, stamp: str) -> float:
    """Seconds from a row's event time to one of its stamps."""
    end: datetime = row[stamp]
    start: datetime = row["event_time"]
    return (end - start).total_seconds()
