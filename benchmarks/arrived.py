"""The outcome of the chats of a surge or a steady load: acknowledged, shed, lost, and how long each took."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx

from benchmarks.reader import sweep
from mmplatform.events import utc_now
from quality.slas import MODALITY_SLAS


@dataclass(frozen=True, slots=True)
class Sample:
    """The gateway's figures of the chats, ``elapsed_s`` after the start."""

    elapsed_s: float
    lag: float
    oldest_s: float
    over: bool


@dataclass(slots=True)
class Outcome:
    """Everything that was seen; gaps, and the shares they are made of, in seconds, by event."""

    began: datetime
    due: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)
    shed: set[str] = field(default_factory=set)
    slowed: int = 0
    failed: int = 0
    gaps: dict[str, float] = field(default_factory=dict)
    shares: dict[str, tuple[float, ...]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    @property
    def lost(self) -> set[str]:
        """Acknowledged, not shed, and not findable."""
        return set(self.accepted) - self.shed - set(self.gaps)

    def recovered_s(self, ends_s: float) -> float:
        """Seconds from the end of the surge until the last chat that missed its budget was findable; 0: none did."""
        budget = MODALITY_SLAS["chat"].gap_s
        late = [self.due[event] + gap for event, gap in self.gaps.items() if gap > budget]
        return max(0.0, max(late, default=0.0) - ends_s)


class Watch(threading.Thread):
    """Asks the gateway every half second how the chats stand, until it is stopped."""

    def __init__(self, gateway: str, outcome: Outcome) -> None:
        super().__init__(daemon=True)
        self._gateway, self._outcome, self._over = gateway, outcome, threading.Event()

    def run(self) -> None:
        """Sample until :meth:`stop`; a gateway that does not answer is asked again."""
        with httpx.Client(base_url=self._gateway, timeout=10, trust_env=False) as client:
            while not self._over.wait(0.5):
                second = (utc_now() - self._outcome.began).total_seconds()
                try:
                    metrics = _figures(client.get("/metrics").text)
                except httpx.HTTPError:
                    continue
                self._outcome.samples.append(
                    Sample(second, metrics["lag"], metrics["oldest_event_age_seconds"], metrics["over"] > 0)
                )

    def stop(self) -> None:
        """No more samples."""
        self._over.set()
        self.join()


def _figures(page: str) -> dict[str, float]:
    found = {"lag": 0.0, "oldest_event_age_seconds": 0.0, "over": 0.0}
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        for figure in found:
            if name.startswith(f"mmplatform_gateway_{figure}") and 'modality="chat"' in name:
                found[figure] = float(value)
    return found


def poll(gateway: str, subjects: Sequence[str], outcome: Outcome, give_up: float) -> None:
    """Search until everything is found or the patience ends; a gap is the gateway's own stamp less the due time."""
    with httpx.Client(base_url=gateway, timeout=60, trust_env=False) as client:
        while True:
            for subject in subjects:
                hits = sweep(client, subject, "chat", outcome.began - timedelta(days=1), utc_now())
                outcome.gaps |= {event: hit["gap_s"] for hit in hits for event in hit["event_ids"]}
                outcome.shares |= {event: _shares(hit) for hit in hits for event in hit["event_ids"]}
            if not outcome.lost or time.monotonic() > give_up:
                return
            time.sleep(1.0)


def _shares(hit: Mapping[str, Any]) -> tuple[float, ...]:
    """The parts of a gap, in seconds: until the gateway accepted it, until it was derived, until it could be found."""
    stamps = [
        datetime.fromisoformat(hit[name]) for name in ("event_time", "ingested_at", "derived_at", "retrievable_at")
    ]
    return tuple((after - before).total_seconds() for before, after in pairwise(stamps))
