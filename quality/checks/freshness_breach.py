"""When a modality is stale, and which stage is guilty: decided from what the stack measures of itself. Pure.

A breach is reported once when it begins and once when it is over. What was told lies in the cursor, so that a restart
neither repeats nor forgets it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quality.checks.verdict import STALLED_S, Backlog, Figure, Verdict
from quality.slas import Sla

LOG_STAGE = "log"
"""Waiting on the replay log: a stage of the gap, and nobody's work."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One worker's part: what waits for it; ``name`` is a worker's (``derive-chat``, ``index``)."""

    name: str
    backlog: Backlog


@dataclass(frozen=True, slots=True)
class Reading:
    """One modality as it is now.

    Attributes:
        p99_s: the 99th percentile of the gap to retrievable over the index worker's window; ``None``: nothing came.
        shares: the 95th percentile of each stage's share of the gap.
        stages: who has what waiting, in the order of the data's way.
    """

    modality: str
    p99_s: float | None
    shares: Mapping[str, float]
    stages: Sequence[Stage]


def stale(reading: Reading, sla: Sla) -> Verdict:
    """Whether a modality is within its budget and its watermark moves. Quiet is not stale."""
    lag = sum(stage.backlog.lag for stage in reading.stages)
    figures: dict[str, Figure] = {"lag": lag, "budget_s": sla.gap_s}
    if reading.p99_s is not None:
        figures["gap_p99_s"] = round(reading.p99_s, 3)
    why = [
        f"the watermark stands still: {stage.backlog.lag} wait for {stage.name}, the oldest for "
        f"{stage.backlog.waiting_s:.0f} s"
        for stage in reading.stages
        if _stands(stage)
    ]
    if reading.p99_s is not None and reading.p99_s > sla.gap_s:
        why.append(f"the gap is {reading.p99_s:.1f} s at p99, {sla.gap_s:g} s are promised")
    if why:
        return Verdict(holds=False, words="; ".join(why), figures=figures | {"guilty": guilty(reading)})
    if reading.p99_s is None:
        return Verdict(holds=True, words=f"quiet: nothing came lately, {lag} wait", figures=figures)
    return Verdict(holds=True, words=f"the gap is {reading.p99_s:.1f} s at p99", figures=figures)


def guilty(reading: Reading) -> str:
    """The stage to look at first: the worker for whom something waits too long, else the largest share of the gap.

    Long waiting on the log is the fault of whoever reads it.
    """
    standing = [stage for stage in reading.stages if _stands(stage)]
    if standing:
        return max(standing, key=lambda stage: stage.backlog.waiting_s).name
    if not reading.shares:
        return "unknown: the index worker has measured nothing"
    largest = max(reading.shares, key=lambda name: reading.shares[name])
    return {LOG_STAGE: f"derive-{reading.modality} (events wait on the log for it)"}.get(largest, largest)


def _stands(stage: Stage) -> bool:
    return stage.backlog.lag > 0 and stage.backlog.waiting_s > STALLED_S


def turned(verdicts: Mapping[str, Verdict], known: Mapping[str, bool]) -> tuple[dict[str, Verdict], dict[str, bool]]:
    """The verdicts that are news, and what is known after them; the first one of each is news.

    ``known`` says of each whether it held when it was last told.
    """
    news = {name: verdict for name, verdict in verdicts.items() if known.get(name) != verdict.holds}
    return news, {**known, **{name: verdict.holds for name, verdict in verdicts.items()}}
