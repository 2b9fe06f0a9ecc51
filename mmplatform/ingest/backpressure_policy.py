"""Backpressure policy: decides when a modality is behind and what happens to its events then. Pure functions.

Two values are measured. The *lag* shows a surge: more events than the derivers can process in minutes. The *age* of the
oldest pending event shows derivers that stand still, however few events wait. It counts from the write to the log, not
from the event time, so that a backfill of last year raises no alarm.

A modality is behind from one high threshold until both values are down to their low ones. Without this hysteresis
sources would be stopped and released with every event.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from mmplatform.settings.backpressure import BackpressurePolicy

Exceeded = Literal["lag", "age"]
Decision = Literal["accept", "throttle", "shed"]

MIN_RETRY_AFTER_S: Final = 1.0
MAX_RETRY_AFTER_S: Final = 60.0
UNKNOWN_RATE_RETRY_AFTER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class DeriverBacklog:
    """Backlog of a modality's derivers: pending events, and the age of the oldest of them in seconds."""

    lag: int
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BackpressureThresholds:
    """Low thresholds above the high ones count as just below them. A ``high_age_s`` of 0 switches the age off."""

    high_lag: int
    low_lag: int
    high_age_s: float = 0.0
    low_age_s: float = 0.0

    @property
    def low(self) -> DeriverBacklog:
        """The backlog down to which a modality stays behind."""
        return DeriverBacklog(min(self.low_lag, self.high_lag - 1), min(self.low_age_s, self.high_age_s))


def exceeded(backlog: DeriverBacklog, thresholds: BackpressureThresholds) -> tuple[Exceeded, ...]:
    """The high thresholds that are reached."""
    reached: list[Exceeded] = []
    if backlog.lag >= thresholds.high_lag:
        reached.append("lag")
    if thresholds.high_age_s and backlog.age_s >= thresholds.high_age_s:
        reached.append("age")
    return tuple(reached)


def is_behind(backlog: DeriverBacklog, thresholds: BackpressureThresholds, *, was_behind: bool) -> bool:
    """True while the modality is behind; between the thresholds the previous state counts."""
    if not was_behind or exceeded(backlog, thresholds):
        return bool(exceeded(backlog, thresholds))
    too_old = bool(thresholds.high_age_s) and backlog.age_s > thresholds.low.age_s
    return backlog.lag > thresholds.low.lag or too_old


def decide(policy: BackpressurePolicy, *, is_behind: bool) -> Decision:
    """Decide about an event that arrives now."""
    if not is_behind or policy == "buffer":
        return "accept"
    return policy


def retry_after_s(backlog: DeriverBacklog, thresholds: BackpressureThresholds, drained_per_s: float) -> float:
    """Seconds until a source should retry: the expected time to low water, 1 to 60 s."""
    if drained_per_s <= 0:
        return UNKNOWN_RATE_RETRY_AFTER_S
    # The lag is down but an old event is still pending: no rate predicts its end.
    if backlog.lag <= thresholds.low.lag:
        return (
            UNKNOWN_RATE_RETRY_AFTER_S
            if thresholds.high_age_s and backlog.age_s > thresholds.low.age_s
            else MIN_RETRY_AFTER_S
        )
    return max(math.ceil(min((backlog.lag - thresholds.low.lag) / drained_per_s, MAX_RETRY_AFTER_S)), MIN_RETRY_AFTER_S)
