"""When the derivers fall behind, the sources are slowed: a gate for each modality, closed at high water, open at low.

The marks are counted in events, and a screenshot or a piece of a call costs a hundred chats: each modality has its own.
The gateway asks ``Gate.check`` before it reads a body; :func:`keep_watch` reads the lag every second for the gates.
A lag that cannot be read (the broker is away) leaves a gate as it was: the broker's absence is answered with 503 by
the write itself, and an old answer is better than a wrong one.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

from mmplatform.errors import Busy, PlatformError
from mmplatform.events import Modality
from mmplatform.ingest.topics import deriver_group, topic_name
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings

REFRESH_S: Final = 1.0
_LEAST_WAIT_S: Final = 1.0
_MOST_WAIT_S: Final = 60.0
_UNKNOWN_RATE_WAIT_S: Final = 5.0
_SMOOTHING: Final = 0.3

_log = structlog.get_logger(__name__)


class LagReader(Protocol):
    """The part of :class:`~mmplatform.ingest.replay_log.ReplayLog` that the watch needs."""

    def lag(self, group: str, topics: list[str]) -> Mapping[str, Mapping[int, int]]:
        """Records behind, by topic and topic partition. Raises Unavailable."""


class Gate:
    """Hysteresis over one modality's lag: closes at ``high_water``, opens again at ``low_water`` or below.

    Not thread-safe: observe and check from one event loop.
    """

    def __init__(
        self, modality: str, *, high_water: int, low_water: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.modality = modality
        self.lag: int | None = None
        self.closed = False
        self._high = high_water
        self._low = min(low_water, high_water - 1)
        self._clock = clock
        self._observed_at = 0.0
        self._drain_rate = 0.0

    def observe(self, lag: int) -> None:
        """Take in how many events the derivers are behind now."""
        now = self._clock()
        if self.lag is not None and now > self._observed_at:
            rate = (self.lag - lag) / (now - self._observed_at)
            self._drain_rate += _SMOOTHING * (rate - self._drain_rate)
        self.lag, self._observed_at = lag, now
        if self.closed and lag <= self._low:
            self.closed = False
        elif not self.closed and lag >= self._high:
            self.closed = True
            self._drain_rate = 0.0  # what was measured while sources pushed says nothing about draining alone

    def check(self) -> None:
        """Return when the modality takes more.

        Raises:
            Busy: it does not; ``retry_after`` is when low water is expected, 1 to 60 s.
        """
        if self.closed:
            raise Busy(
                f"{self.modality} is {self.lag} events behind and takes no more until it is {self._low} behind",
                retry_after=self._wait(),
            )

    def _wait(self) -> float:
        if self._drain_rate <= 0 or self.lag is None:
            return _UNKNOWN_RATE_WAIT_S
        return min(max(math.ceil((self.lag - self._low) / self._drain_rate), _LEAST_WAIT_S), _MOST_WAIT_S)


def open_gates(settings: Settings) -> dict[Modality, Gate]:
    """A gate for each modality, open."""
    marks: dict[Modality, tuple[int, int]] = {
        "chat": (settings.chat_high_water, settings.chat_low_water),
        "call": (settings.call_high_water, settings.call_low_water),
        "screenshot": (settings.screenshot_high_water, settings.screenshot_low_water),
    }
    return {modality: Gate(modality, high_water=high, low_water=low) for modality, (high, low) in marks.items()}


async def keep_watch(
    settings: Settings, gates: Mapping[Modality, Gate], log: LagReader, *, every_s: float = REFRESH_S
) -> None:
    """Tell the gates the lag of their derivers until cancelled; the blocking reads run in a thread."""
    answering = True
    while True:
        try:
            for modality, gate in gates.items():
                gate.observe(await asyncio.to_thread(total_lag, settings, modality, log))
            answering = True
        except PlatformError as error:
            if answering:
                _log.warning("lag_unknown", reason=str(error))
            answering = False
        except Exception as error:  # noqa: BLE001 - a watch that ended would leave the gates as they are for ever
            _log.error("lag_watch_stumbled", error=type(error).__name__)
        await asyncio.sleep(every_s)


def total_lag(settings: Settings, modality: Modality, log: LagReader) -> int:
    """Events that a modality's derivers are behind. Raises Unavailable."""
    topic = topic_name(settings, MODALITIES[modality].topic)
    return sum(log.lag(deriver_group(settings, modality), [topic])[topic].values())
