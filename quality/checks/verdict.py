"""What a check says of a table, from rows that were read elsewhere. Pure, and without Dagster.

A verdict holds or not, says why in a sentence, and carries figures. It names ids at most, never a text. The caller
reads; a read that failed raises there and never comes here as no rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from quality.contract_gate import judge
from quality.contracts import Limits
from quality.quantiles import quantile
from quality.slas import Sla

Row = Mapping[str, Any]
Figure = float | int | str | list[str] | dict[str, float]

MOST_NAMED: Final = 10
"""Ids in a verdict: enough to look at, and Dagster keeps every one for ever."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it holds, why, and the figures that show it."""

    holds: bool
    words: str
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for those who write a table.

    Attributes:
        lag: records behind, all of them together.
        waiting_s: for how long the oldest of them has lain on the log; 0 where none waits.
    """

    lag: int
    waiting_s: float = 0.0


STALLED_S: Final = 60.0
"""A record that has waited for longer is not in the queue of a busy worker: nobody takes it up, or far too slowly."""


def kept(table: str, rows: Sequence[Row], limits: Limits, aside: Collection[str] = ()) -> Verdict:
    """Whether rows keep the contract of their table; ``aside``: ids of events that the gate set aside, as it should.

    Raises:
        KeyError: the table has no contract.
    """
    if not rows:
        return Verdict(holds=True, words="no rows in this hour", figures={"rows": 0})
    broken = judge(table, rows, limits)
    known = {place for place in broken if rows[place].get("event_id") in aside}
    loose = [place for place in broken if place not in known]
    figures: dict[str, Figure] = {"rows": len(rows), "broken": len(loose), "quarantined": len(known)}
    if not loose:
        told = f"; {len(known)} more were set aside" if known else ""
        return Verdict(holds=True, words=f"{len(rows) - len(known)} rows keep the contract{told}", figures=figures)
    rules = Counter(rule for place in loose for rule in broken[place])
    figures["rules"] = {rule: float(count) for rule, count in rules.most_common()}
    figures["ids"] = [_id(rows[place]) for place in loose[:MOST_NAMED]]
    return Verdict(holds=False, words=f"{len(loose)} of {len(rows)} rows break the contract", figures=figures)


def within(gaps: Mapping[str, Sequence[float]], slas: Mapping[str, Sla], backlog: Backlog) -> Verdict:
    """Whether the gaps of each modality (seconds) are within its budget, and nobody waits in vain.

    A quiet time is not stale: with nothing waiting and nothing landed the verdict holds, and says so.
    """
    figures: dict[str, Figure] = {"lag": backlog.lag, "waiting_s": round(backlog.waiting_s, 3)}
    over = []
    for modality, seconds in sorted(gaps.items()):
        if not seconds:
            continue
        sla = slas[modality]
        share = sum(gap <= sla.gap_s for gap in seconds) / len(seconds)
        figures |= {f"{modality}_{name}_s": round(quantile(seconds, at), 3) for name, at in _QUANTILES.items()}
        figures |= {f"{modality}_rows": len(seconds), f"{modality}_share_within": round(share, 4)}
        if share < sla.share:
            over.append(f"{modality}: {share:.1%} within {sla.gap_s:g} s, {sla.share:.0%} promised")
    if backlog.lag and backlog.waiting_s > STALLED_S:
        over.insert(0, f"the watermark stands still: {backlog.lag} wait, the oldest for {backlog.waiting_s:.0f} s")
    rows = sum(len(seconds) for seconds in gaps.values())
    if over:
        return Verdict(holds=False, words="; ".join(over), figures=figures)
    if rows:
        return Verdict(holds=True, words=f"{rows} rows within their budgets", figures=figures)
    told = f"{backlog.lag} wait, none for long" if backlog.lag else "nothing waits"
    return Verdict(holds=True, words=f"quiet: nothing landed and {told}", figures=figures)


_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def gap_s(row: Row, until: str) -> float:
    """From a row's event time to one of its stamps."""
    end: datetime = row[until]
    start: datetime = row["event_time"]
    return (end - start).total_seconds()


def named(ids: Iterable[str]) -> list[str]:
    """The first of them, in order, so that two runs name the same."""
    return sorted(ids)[:MOST_NAMED]


def _id(row: Row) -> str:
    return str(row.get("artifact_id") or row.get("event_id"))
