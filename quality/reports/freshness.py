"""The freshness of a day, hour by hour: how long events took, against what was promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from quality.quantiles import quantile
from quality.slas import Sla


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps of some events, in seconds.

    Attributes:
        rows: how many there were.
        share: the share of them within the budget.
    """

    rows: int
    p50_s: float
    p95_s: float
    p99_s: float
    share: float


def gaps_of(seconds: Sequence[float], sla: Sla) -> Gaps:
    """Of at least one event. Raises ``ValueError`` for none: nothing is not fresh, nor stale."""
    if not seconds:
        raise ValueError("there are no gaps of no events")
    within = sum(each <= sla.gap_s for each in seconds) / len(seconds)
    p50, p95, p99 = (round(quantile(seconds, at), 3) for at in (0.5, 0.95, 0.99))
    return Gaps(len(seconds), p50, p95, p99, round(within, 5))


def by_modality(
    hours: Mapping[datetime, Mapping[str, Sequence[float]]], slas: Mapping[str, Sla]
) -> dict[str, tuple[Gaps, dict[datetime, Gaps]]]:
    """The day's gaps and each hour's, of the modalities that had events."""
    found = {}
    for modality, sla in slas.items():
        seconds = {hour: gaps[modality] for hour, gaps in sorted(hours.items()) if gaps.get(modality)}
        if seconds:
            day = gaps_of([each for gaps in seconds.values() for each in gaps], sla)
            found[modality] = (day, {hour: gaps_of(gaps, sla) for hour, gaps in seconds.items()})
    return found


def as_markdown(found: Mapping[str, tuple[Gaps, Mapping[datetime, Gaps]]], slas: Mapping[str, Sla]) -> str:
    """A table of the day, then one of its hours."""
    if not found:
        return "Nothing happened on this day."
    head = "rows | p50 s | p95 s | p99 s | within budget |\n"
    days = f"| modality | budget s | {head}|---|---|---|---|---|---|---|\n"
    hours = f"| hour (UTC) | modality | {head}|---|---|---|---|---|---|---|\n"
    for modality, (day, each) in found.items():
        days += f"| {modality} | {slas[modality].gap_s:g} | {_cells(day)}"
        hours += "".join(f"| {hour:%H:%M} | {modality} | {_cells(gaps)}" for hour, gaps in each.items())
    return f"{days}\n{hours}"


def _cells(gaps: Gaps) -> str:
    return f"{gaps.rows} | {gaps.p50_s:g} | {gaps.p95_s:g} | {gaps.p99_s:g} | {gaps.share:.2%} |\n"
