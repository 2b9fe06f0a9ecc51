"""Backpressure: one gate for each modality, which applies the modality's policy while its derivers are behind.

Thresholds count events, and a screenshot or a chunk of a call costs as much as a hundred chats: each modality has its
own. The gateway calls ``BackpressureGate.check`` before it reads a body; :func:`watch_lag` reads the backlog every
second. While the broker is unavailable a gate keeps its state: the write itself then answers 503, and an old
observation is better than a wrong one.
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
from mmplatform.ingest.backpressure_policy import (
    MIN_RETRY_AFTER_S,
    BackpressureThresholds,
    DeriverBacklog,
    Exceeded,
    decide,
    exceeded,
    is_behind,
    retry_after_s,
)
from mmplatform.kafka.topics import deriver_group, topic_name
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings
from mmplatform.settings.backpressure import BackpressurePolicy

WATCH_INTERVAL_S: Final = 1.0
_SMOOTHING: Final = 0.3
_MAX_OBSERVATION_AGE_S: Final = 10.0
"""An older observation says nothing: the events derived since are unknown."""

_log = structlog.get_logger(__name__)


class LagReader(Protocol):
    """The part of :class:`~mmplatform.kafka.reader.ReplayLog` that :func:`watch_lag` uses."""

    def lag(self, group: str, topics: list[str]) -> Mapping[str, Mapping[int, int]]:
        """Records behind, by topic and topic partition. Raises Unavailable."""

    def oldest_pending_at(self, group: str, topic: str) -> datetime | None:
        """Timestamp of the group's oldest pending record; None: no record is pending. Raises Unavailable."""


class BackpressureGate:
    """Gate of one modality: closed from high water until low water, with the policy that applies meanwhile.

    Not thread-safe: observe and check from one event loop.
    """

    def __init__(
        self,
        modality: str,
        thresholds: BackpressureThresholds,
        *,
        policy: BackpressurePolicy = "throttle",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.modality = modality
        self.policy = policy
        self.backlog: DeriverBacklog | None = None
        self.closed = False
        self.high_water_count = 0
        self._thresholds = thresholds
        self._clock = clock
        self._observed_at = 0.0
        self._drained_per_s = 0.0
        self._exceeded: tuple[Exceeded, ...] = ()
        self.accepted_count = 0
        self._accepted_at_observation = 0

    @property
    def lag(self) -> int | None:
        """Events behind; None: not observed yet."""
        return None if self.backlog is None else self.backlog.lag

    def observe(self, lag: int, age_s: float = 0.0, *, accepted_count: int | None = None) -> None:
        """Update the gate with the derivers' lag in events and the age of the oldest pending event.

        ``accepted_count`` is the gate's count when the lag was queried: later events may be missing from the lag.
        """
        now, backlog = self._clock(), DeriverBacklog(lag, age_s)
        if self.backlog is not None and now > self._observed_at:
            rate = (self.backlog.lag - lag) / (now - self._observed_at)
            self._drained_per_s += _SMOOTHING * (rate - self._drained_per_s)
        was_behind, self.closed = self.closed, is_behind(backlog, self._thresholds, was_behind=self.closed)
        self.backlog, self._observed_at = backlog, now
        self._accepted_at_observation = self.accepted_count if accepted_count is None else accepted_count
        self._exceeded = exceeded(backlog, self._thresholds) or self._exceeded
        if self.closed and not was_behind:
            self.high_water_count += 1
            self._drained_per_s = 0.0  # a rate measured under load says nothing about draining alone

    def record_accepted(self) -> None:
        """Count one event written to the log: a gate's only sign of a surge between two observations."""
        self.accepted_count += 1

    def check(self) -> tuple[Exceeded, ...]:
        """Return when the modality accepts an event: empty, or with the reasons for which the event is shed.

        Raises:
            Busy: it does not; ``retry_after`` is the expected time to low water, 1 to 60 s.
        """
        decision = decide(self.policy, is_behind=self.closed)
        if self.policy == "throttle" and not self.closed and self.backlog is not None:
            self._check_since_observation(self.backlog)
        if decision == "throttle":
            backlog, low = self.backlog or DeriverBacklog(0), self._thresholds.low
            raise Busy(
                f"{self.modality} is {backlog.lag} events behind, the oldest for {backlog.age_s:.0f} s, and accepts no "
                f"more until it is at most {low.lag} behind{_max_age_clause(low.age_s)}",
                retry_after=retry_after_s(backlog, self._thresholds, self._drained_per_s),
                hint={"lag": backlog.lag, "oldest_s": round(backlog.age_s, 1), "low_water": low.lag},
            )
        return self._exceeded if decision == "shed" else ()

    def _check_since_observation(self, backlog: DeriverBacklog) -> None:
        """Accept no more when high water would be reached if no event was derived since the last observation.

        The derivers may have kept up meanwhile: so this does not close the gate, the next observation decides. While
        the log's offsets cannot be read this check is skipped: the gate keeps its state.
        """
        accepted_since = self.accepted_count - self._accepted_at_observation
        max_lag = backlog.lag + accepted_since
        if max_lag >= self._thresholds.high_lag and self._clock() - self._observed_at < _MAX_OBSERVATION_AGE_S:
            raise Busy(
                f"{self.modality} was {backlog.lag} events behind at the last check and has accepted {accepted_since} "
                "since",
                retry_after=MIN_RETRY_AFTER_S,
                hint={"lag": max_lag, "oldest_s": round(backlog.age_s, 1), "low_water": self._thresholds.low.lag},
            )


def _max_age_clause(age_s: float) -> str:
    return f" and the oldest waits for at most {age_s:.0f} s" if age_s else ""


def open_gates(settings: Settings) -> dict[Modality, BackpressureGate]:
    """An open gate for each modality."""
    gates: dict[Modality, BackpressureGate] = {}
    for modality in MODALITIES:
        policy, thresholds = policy_and_thresholds(settings, modality)
        gates[modality] = BackpressureGate(modality, thresholds, policy=policy)
    return gates


def policy_and_thresholds(settings: Settings, modality: Modality) -> tuple[BackpressurePolicy, BackpressureThresholds]:
    """Backpressure settings of one modality."""
    configured = settings.thresholds(modality)
    thresholds = BackpressureThresholds(
        high_lag=configured.high_water,
        low_lag=configured.low_water,
        high_age_s=configured.high_water_age_s,
        low_age_s=configured.low_water_age_s,
    )
    return configured.backpressure_policy, thresholds


async def watch_lag(
    settings: Settings,
    gates: Mapping[Modality, BackpressureGate],
    log: LagReader,
    *,
    interval_s: float = WATCH_INTERVAL_S,
) -> None:
    """Update the gates with their derivers' backlog until cancelled; the blocking reads run in a thread."""
    unknown: set[Modality] = set()
    while True:
        for modality, gate in gates.items():
            accepted_count = gate.accepted_count
            try:
                backlog = await asyncio.to_thread(read_backlog, settings, modality, log)
                gate.observe(backlog.lag, backlog.age_s, accepted_count=accepted_count)
                unknown.discard(modality)
            except PlatformError as error:
                if modality not in unknown:
                    _log.warning("lag_unknown", modality=modality, reason=str(error))
                unknown.add(modality)
            except Exception as error:  # noqa: BLE001 - without the watch the gates would keep their state for ever
                _log.error("lag_watch_failed", modality=modality, error=type(error).__name__)
        await asyncio.sleep(interval_s)


def read_backlog(settings: Settings, modality: Modality, log: LagReader) -> DeriverBacklog:
    """Backlog of a modality's derivers. Raises Unavailable."""
    group, topic = deriver_group(settings, modality), topic_name(settings, MODALITIES[modality].topic)
    lag = sum(log.lag(group, [topic])[topic].values())
    oldest_at = log.oldest_pending_at(group, topic) if lag else None  # saves the read of a record without lag
    return DeriverBacklog(lag, max(0.0, (utc_now() - oldest_at).total_seconds()) if oldest_at else 0.0)
