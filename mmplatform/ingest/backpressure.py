"""When the derivers fall behind: a gate for each modality, which knows how far, and what its policy says.

The marks are counted in events, and a screenshot or a piece of a call costs a hundred chats: each modality has its own.
The gateway asks ``Gate.check`` before it reads a body; :func:`keep_watch` reads how far the derivers are every second.
What cannot be read (the broker is away) leaves a gate as it was: the broker's absence is answered with 503 by
the write itself, and an old answer is better than a wrong one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Protocol

import structlog

from mmplatform.errors import Busy, PlatformError
from mmplatform.events import Modality, utc_now
from mmplatform.ingest.backpressure_policy import LEAST_WAIT_S, Depth, Marks, Over, behind, over, verdict, wait_s
from mmplatform.kafka.topics import deriver_group, topic_name
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings
from mmplatform.settings.backpressure import Policy

REFRESH_S: Final = 1.0
_SMOOTHING: Final = 0.3
_LOOKS_WITHIN_S: Final = 10.0
"""A look that is older is none: what was worked off since is not known at all."""

_log = structlog.get_logger(__name__)


class LagReader(Protocol):
    """The part of :class:`~mmplatform.kafka.reader.ReplayLog` that the watch needs."""

    def lag(self, group: str, topics: list[str]) -> Mapping[str, Mapping[int, int]]:
        """Records behind, by topic and topic partition. Raises Unavailable."""

    def oldest(self, group: str, topic: str) -> datetime | None:
        """When the oldest record was written that the group is not done with; None: it is done. Raises Unavailable."""


class Gate:
    """One modality: whether its derivers are behind, by its marks, and what its policy does then.

    Not thread-safe: observe and check from one event loop.
    """

    def __init__(
        self, modality: str, marks: Marks, *, policy: Policy = "slow", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.modality = modality
        self.policy = policy
        self.depth: Depth | None = None
        self.closed = False
        self.closings = 0
        self._marks = marks
        self._clock = clock
        self._observed_at = 0.0
        self._drained_per_s = 0.0
        self._why: tuple[Over, ...] = ()
        self.taken = 0
        self._counted = 0

    @property
    def lag(self) -> int | None:
        """Events behind; None: not known yet."""
        return None if self.depth is None else self.depth.lag

    def observe(self, lag: int, age_s: float = 0.0, *, taken: int | None = None) -> None:
        """Take in how many events the derivers are behind, and how long the oldest of them has waited.

        ``taken`` is how many had been taken when that was asked: what came since may not be among them.
        """
        now, depth = self._clock(), Depth(lag, age_s)
        if self.depth is not None and now > self._observed_at:
            rate = (self.depth.lag - lag) / (now - self._observed_at)
            self._drained_per_s += _SMOOTHING * (rate - self._drained_per_s)
        before, self.closed = self.closed, behind(depth, self._marks, before=self.closed)
        self.depth, self._observed_at = depth, now
        self._counted = self.taken if taken is None else taken
        self._why = over(depth, self._marks) or self._why
        if self.closed and not before:
            self.closings += 1
            self._drained_per_s = 0.0  # what was measured while sources pushed says nothing about draining alone

    def took(self) -> None:
        """One more event is on the log: between two looks at it that is all that a gate knows of a surge."""
        self.taken += 1

    def check(self) -> tuple[Over, ...]:
        """Return when the modality takes more: with nothing, or with why an event that arrives now is shed.

        Raises:
            Busy: it does not; ``retry_after`` is when low water is expected, 1 to 60 s.
        """
        said = verdict(self.policy, behind=self.closed)
        if self.policy == "slow" and not self.closed and self.depth is not None:
            self._await_a_look(self.depth)
        if said == "slow":
            depth, low = self.depth or Depth(0), self._marks.low
            raise Busy(
                f"{self.modality} is {depth.lag} events behind, the oldest for {depth.age_s:.0f} s, and takes no more "
                f"until it is at most {low.lag} behind{_for_at_most(low.age_s)}",
                retry_after=wait_s(depth, self._marks, self._drained_per_s),
                hint={"lag": depth.lag, "oldest_s": round(depth.age_s, 1), "low_water": low.lag},
            )
        return self._why if said == "shed" else ()

    def _await_a_look(self, depth: Depth) -> None:
        """Take no more when high water would be reached if nothing was worked off since the last look.

        Perhaps as many were worked off as came: so this does not close the gate, the next look decides. While nobody
        can look (the log's offsets cannot be read) it is not asked: the gate stays as it was.
        """
        since = self.taken - self._counted
        at_most = depth.lag + since
        if at_most >= self._marks.high_lag and self._clock() - self._observed_at < _LOOKS_WITHIN_S:
            raise Busy(
                f"{self.modality} was {depth.lag} events behind at the last look and has taken {since} since",
                retry_after=LEAST_WAIT_S,
                hint={"lag": at_most, "oldest_s": round(depth.age_s, 1), "low_water": self._marks.low.lag},
            )


def _for_at_most(age_s: float) -> str:
    return f" and the oldest waits for at most {age_s:.0f} s" if age_s else ""


def open_gates(settings: Settings) -> dict[Modality, Gate]:
    """A gate for each modality, open."""
    gates: dict[Modality, Gate] = {}
    for modality in MODALITIES:
        policy, marks = marks_of(settings, modality)
        gates[modality] = Gate(modality, marks, policy=policy)
    return gates


def marks_of(settings: Settings, modality: Modality) -> tuple[Policy, Marks]:
    """What the operator set for one modality."""
    marks = Marks(
        high_lag=getattr(settings, f"{modality}_high_water"),
        low_lag=getattr(settings, f"{modality}_low_water"),
        high_age_s=getattr(settings, f"{modality}_high_age_s"),
        low_age_s=getattr(settings, f"{modality}_low_age_s"),
    )
    policy: Policy = getattr(settings, f"{modality}_policy")
    return policy, marks


async def keep_watch(
    settings: Settings, gates: Mapping[Modality, Gate], log: LagReader, *, every_s: float = REFRESH_S
) -> None:
    """Tell the gates how far their derivers are until cancelled; the blocking reads run in a thread."""
    unknown: set[Modality] = set()
    while True:
        for modality, gate in gates.items():
            taken = gate.taken
            try:
                depth = await asyncio.to_thread(read_depth, settings, modality, log)
                gate.observe(depth.lag, depth.age_s, taken=taken)
                unknown.discard(modality)
            except PlatformError as error:
                if modality not in unknown:
                    _log.warning("lag_unknown", modality=modality, reason=str(error))
                unknown.add(modality)
            except Exception as error:  # noqa: BLE001 - a watch that ended would leave the gates as they are for ever
                _log.error("lag_watch_stumbled", modality=modality, error=type(error).__name__)
        await asyncio.sleep(every_s)


def read_depth(settings: Settings, modality: Modality, log: LagReader) -> Depth:
    """How far a modality's derivers are behind. Raises Unavailable."""
    group, topic = deriver_group(settings, modality), topic_name(settings, MODALITIES[modality].topic)
    lag = sum(log.lag(group, [topic])[topic].values())
    # Where nothing waits nobody is asked for its age.
    oldest = log.oldest(group, topic) if lag else None
    return Depth(lag, max(0.0, (utc_now() - oldest).total_seconds()) if oldest else 0.0)
