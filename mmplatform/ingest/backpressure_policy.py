"""When a modality is behind, and what is done then: pure, so that every case can be asked.

Two things are measured. The *lag* tells of a surge: so many events came that working them off takes minutes. The *age*
of the oldest event that is not done tells of derivers that stand still, however few events wait. It counts from when an
event was put onto the log and not from when it happened, so that a backfill of last year is no alarm.

A state lasts from a high mark, of either, until both are down to their low marks: without the distance between the two
sources would be stopped and let go with every event.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from mmplatform.settings.backpressure import Policy

Over = Literal["lag", "age"]
Verdict = Literal["take", "slow", "shed"]

LEAST_WAIT_S: Final = 1.0
MOST_WAIT_S: Final = 60.0
UNKNOWN_RATE_WAIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Depth:
    """How far a modality's derivers are behind: events, and the seconds that the oldest of them has waited."""

    lag: int
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Marks:
    """Low marks that lie above the high ones count as just below them. An age of 0 is not looked at."""

    high_lag: int
    low_lag: int
    high_age_s: float = 0.0
    low_age_s: float = 0.0

    @property
    def low(self) -> Depth:
        """Down to here a modality stays behind."""
        return Depth(min(self.low_lag, self.high_lag - 1), min(self.low_age_s, self.high_age_s))


def over(depth: Depth, marks: Marks) -> tuple[Over, ...]:
    """Which high marks are reached."""
    reached: list[Over] = []
    if depth.lag >= marks.high_lag:
        reached.append("lag")
    if marks.high_age_s and depth.age_s >= marks.high_age_s:
        reached.append("age")
    return tuple(reached)


def behind(depth: Depth, marks: Marks, *, before: bool) -> bool:
    """Whether the modality is behind now, given whether it was ``before``."""
    if not before or over(depth, marks):
        return bool(over(depth, marks))
    old = bool(marks.high_age_s) and depth.age_s > marks.low.age_s
    return depth.lag > marks.low.lag or old


def verdict(policy: Policy, *, behind: bool) -> Verdict:
    """What becomes of an event that arrives now."""
    if not behind or policy == "buffer":
        return "take"
    return policy


def wait_s(depth: Depth, marks: Marks, drained_per_s: float) -> float:
    """When a source should come back: once low water is expected, in 1 to 60 s."""
    if drained_per_s <= 0:
        return UNKNOWN_RATE_WAIT_S
    # The lag is down and something old is still in hand: no rate says how long that takes.
    if depth.lag <= marks.low.lag:
        return UNKNOWN_RATE_WAIT_S if marks.high_age_s and depth.age_s > marks.low.age_s else LEAST_WAIT_S
    return max(math.ceil(min((depth.lag - marks.low.lag) / drained_per_s, MOST_WAIT_S)), LEAST_WAIT_S)
