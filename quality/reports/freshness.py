"""Freshness of a day, hour by hour: the gaps of its events against their budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from quality.quantiles import quantile
from quality.slas import Sla


@dataclass(frozen=True, slots=True)
class FreshnessStats:
    """The gaps of some events, in seconds. The names of the fields are those of the report's metadata.

    Attributes:
        rows: the number of events.
        share: the share of them within the budget.
    """

    rows: int
    p50_s: float
    p95_s: float
    p99_s: float
    share: float


def freshness_stats(seconds: Sequence[float], sla: Sla) -> FreshnessStats:
    """Summarises at least one gap. Raises ``ValueError`` for none: without events nothing is fresh or stale."""
    if not seconds:
        raise ValueError("no events, so there are no gaps")
    within = sum(gap <= sla.gap_s for gap in seconds) / len(seconds)
    p50, p95, p99 = (round(quantile(seconds, share), 3) for share in (0.5, 0.95, 0.99))
    return FreshnessStats(len(seconds), p50, p95, p99, round(within, 5))


def stats_by_modality(
    hours: Mapping[datetime, Mapping[str, Sequence[float]]], slas: Mapping[str, Sla]
) -> dict[str, tuple[FreshnessStats, dict[datetime, FreshnessStats]]]:
    """Statistics of the day and of each hour, for the modalities that had events."""
    stats = {}
    for modality, sla in slas.items():
        seconds = {hour: gaps[modality] for hour, gaps in sorted(hours.items()) if gaps.get(modality)}
        if seconds:
            day = freshness_stats([gap for gaps in seconds.values() for gap in gaps], sla)
            stats[modality] = (day, {hour: freshness_stats(gaps, sla) for hour, gaps in seconds.items()})
    return stats


def as_markdown(
    stats: Mapping[str, tuple[FreshnessStats, Mapping[datetime, FreshnessStats]]], slas: Mapping[str, Sla]
) -> str:
    """A table of the day, then one of its hours."""
    if not stats:
        return "Nothing happened on this day."
    head = "rows | p50 s | p95 s | p99 s | within budget |\n"
    day_table = f"| modality | budget s | {head}|---|---|---|---|---|---|---|\n"
    hour_table = f"| hour (UTC) | modality | {head}|---|---|---|---|---|---|---|\n"
    for modality, (day, hours) in stats.items():
        day_table += f"| {modality} | {slas[modality].gap_s:g} | {_cells(day)}"
        hour_table += "".join(f"| {hour:%H:%M} | {modality} | {_cells(gaps)}" for hour, gaps in hours.items())
    return f"{day_table}\n{hour_table}"


def _cells(stats: FreshnessStats) -> str:
    return f"{stats.rows} | {stats.p50_s:g} | {stats.p95_s:g} | {stats.p99_s:g} | {stats.share:.2%} |\n"
