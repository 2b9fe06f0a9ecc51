"""Check ``freshness_breach``: staleness of a modality and its slowest stage, from the stack's own measurements. Pure.

A breach is reported once when it begins and once when it ends. The reported state lies in the sensor's cursor, so that
a restart neither repeats nor forgets a report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quality.checks.backlog import Backlog
from quality.checks.result import CheckResult, RawMetadataValue
from quality.slas import Sla

LOG_STAGE = "log"
"""Time on the replay log: a stage of the gap without a worker of its own."""


@dataclass(frozen=True, slots=True)
class StageBacklog:
    """The backlog of one worker; ``name`` is the worker's (``derive-chat``, ``index``)."""

    name: str
    backlog: Backlog


@dataclass(frozen=True, slots=True)
class FreshnessReading:
    """Freshness of one modality at this moment.

    Attributes:
        p99_s: 99th percentile of the gap to retrievable over the index worker's window; ``None`` without events.
        shares: 95th percentile of each stage's share of the gap.
        stages: the workers' backlogs, in the order of the data's way.
    """

    modality: str
    p99_s: float | None
    shares: Mapping[str, float]
    stages: Sequence[StageBacklog]


def check_freshness_breach(reading: FreshnessReading, sla: Sla) -> CheckResult:
    """Fails when the gap exceeds its budget, or the watermark has stalled. A quiet time is not stale."""
    lag = sum(stage.backlog.lag for stage in reading.stages)
    metadata: dict[str, RawMetadataValue] = {"lag": lag, "budget_s": sla.gap_s}
    if reading.p99_s is not None:
        metadata["gap_p99_s"] = round(reading.p99_s, 3)
    reasons = [
        f"the watermark has stalled: {stage.backlog.lag} wait for {stage.name}, the oldest for "
        f"{stage.backlog.waiting_s:.0f} s"
        for stage in reading.stages
        if stage.backlog.stalled
    ]
    if reading.p99_s is not None and reading.p99_s > sla.gap_s:
        reasons.append(f"the gap is {reading.p99_s:.1f} s at p99, {sla.gap_s:g} s are promised")
    if reasons:
        metadata["guilty"] = slowest_stage(reading)
        return CheckResult(passed=False, description="; ".join(reasons), metadata=metadata)
    if reading.p99_s is None:
        return CheckResult(passed=True, description=f"quiet: no recent events, {lag} wait", metadata=metadata)
    return CheckResult(passed=True, description=f"the gap is {reading.p99_s:.1f} s at p99", metadata=metadata)


def slowest_stage(reading: FreshnessReading) -> str:
    """The stage to investigate first: the worker with the longest stalled backlog, else the largest share of the gap.

    A long wait on the log is attributed to the deriver that reads it.
    """
    stalled = [stage for stage in reading.stages if stage.backlog.stalled]
    if stalled:
        return max(stalled, key=lambda stage: stage.backlog.waiting_s).name
    if not reading.shares:
        return "unknown: the index worker has measured nothing"
    slowest = max(reading.shares, key=lambda name: reading.shares[name])
    return {LOG_STAGE: f"derive-{reading.modality} (events wait on the log for it)"}.get(slowest, slowest)
