"""Freshness gap: from an event's time to the moment at which a search finds its passage, in total and by stage.

This is the passive measure, from the stamps of each passage. The active one, a separate process that polls the public
search, is in ``benchmarks/freshness.py``, which compares the two.

Stages are differences of neighbouring stamps, so that they add up to the gap::

    ingest  event_time  → ingested_at   the source, the network, the gateway
    log     ingested_at → taken_at      waiting on the replay log for the deriver
    derive  taken_at    → derived_at    the models
    publish derived_at  → logged_at     the artifacts topic, which every gateway follows

Where gateways follow no tail, a passage is retrievable when the index has it, and the last stage is another::

    index   derived_at  → indexed_at    the artifacts topic and the index

For a call, ``event_time`` is the end of the utterance and ``ingested_at`` that of its last chunk. The deriver consumes
the utterance with the chunk whose silence closes it, so the pause that ends an utterance counts as ``log``.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mmplatform.artifacts import Stamps
from mmplatform.events import Modality, utc_now
from quality.quantiles import quantiles

STAGES: Final = ("ingest", "log", "derive", "publish")
STAGES_WITHOUT_TAIL: Final = ("ingest", "log", "derive", "index")
WINDOW_S: Final = 900.0
MAX_GAPS_PER_MODALITY: Final = 20_000


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Distribution in seconds. It has no mean: a mean hides the slow events that a caller waited for."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def from_seconds(cls, seconds: Iterable[float]) -> Quantiles | None:
        """None without values: no events is not the same as no gap."""
        ordered = sorted(map(float, seconds))
        if not ordered:
            return None
        p50, p95, p99 = quantiles(ordered, (0.5, 0.95, 0.99))
        return cls(len(ordered), p50, p95, p99, ordered[-1])


@dataclass(frozen=True, slots=True)
class FreshnessGap:
    """One event's freshness gap and its stages, in seconds."""

    total: float
    stages: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Freshness:
    """One modality's freshness over the rolling window."""

    gap: Quantiles
    stages: Mapping[str, Quantiles]
    watermark: datetime
    """The newest event time that is retrievable."""

    @property
    def slowest(self) -> str:
        """The stage with the largest 95th percentile: the first suspect when a modality is stale."""
        return max(self.stages, key=lambda stage: self.stages[stage].p95)


def retrievable_at(stamps: Stamps, indexed_at: datetime, *, has_tail: bool) -> datetime:
    """Time from which searches find a passage: it is on the log that gateways follow, or in the index.

    A broker's stamp has milliseconds: it is taken for no earlier than the deriver's.
    """
    if not has_tail or stamps.logged_at is None:
        return indexed_at
    return min(max(stamps.logged_at, stamps.derived_at), indexed_at)


def freshness_gap(stamps: Stamps, found_at: datetime) -> FreshnessGap:
    """Split a gap into its stages. The time of a missing stamp counts for the stage after it."""
    consumed_at = stamps.taken_at or stamps.ingested_at
    moments = (stamps.event_time, stamps.ingested_at, consumed_at, stamps.derived_at, found_at)
    pairs = itertools.pairwise(moments)
    ingest, log, derive, last = ((after - before).total_seconds() for before, after in pairs)
    return FreshnessGap((found_at - stamps.event_time).total_seconds(), (ingest, log, derive, last))


class FreshnessTracker:
    """Rolling window of gaps for each modality. Thread-safe.

    It lives in the process: since ``measured_since``, an empty window means that no passage was indexed.

    Args:
        has_tail: gateways follow the artifacts topic, so that a passage on it is retrievable.
        window_s: how long a gap counts, in seconds.
        max_gaps: the newest gaps that are kept of a modality.
    """

    def __init__(
        self, *, has_tail: bool = True, window_s: float = WINDOW_S, max_gaps: int = MAX_GAPS_PER_MODALITY
    ) -> None:
        self.measured_since = utc_now()
        self.has_tail = has_tail
        self._stages = STAGES if has_tail else STAGES_WITHOUT_TAIL
        self._window_s = window_s
        self._max_gaps = max_gaps
        self._gaps: dict[Modality, deque[tuple[float, FreshnessGap]]] = {}
        self._watermarks: dict[Modality, datetime] = {}
        self._lock = threading.Lock()

    def record(self, modality: Modality, stamps: Stamps, found_at: datetime) -> FreshnessGap:
        """Add one passage to the window; ``found_at``: since when searches find it."""
        gap = freshness_gap(stamps, found_at)
        with self._lock:
            self._gaps.setdefault(modality, deque(maxlen=self._max_gaps)).append((time.monotonic(), gap))
            watermark = self._watermarks.get(modality)
            self._watermarks[modality] = max(watermark, stamps.event_time) if watermark else stamps.event_time
        return gap

    def summary(self) -> dict[Modality, Freshness]:
        """Freshness of each modality that had passages within the window."""
        since = time.monotonic() - self._window_s
        with self._lock:
            recent = {m: [gap for recorded_at, gap in gaps if recorded_at >= since] for m, gaps in self._gaps.items()}
            watermarks = dict(self._watermarks)
        summary: dict[Modality, Freshness] = {}
        for modality, gaps in recent.items():
            total = Quantiles.from_seconds(gap.total for gap in gaps)
            stages = {
                name: Quantiles.from_seconds(gap.stages[index] for gap in gaps)
                for index, name in enumerate(self._stages)
            }
            if total is not None:
                measured = {name: quantiles for name, quantiles in stages.items() if quantiles is not None}
                summary[modality] = Freshness(total, measured, watermarks[modality])
        return summary


def freshness_payload(summary: Mapping[Modality, Freshness]) -> dict[str, dict[str, object]]:
    """The summary in the JSON form of the status page and ``mmplatform freshness --json``."""
    return {
        modality: {
            "gap": quantiles_payload(found.gap),
            "stages": {name: quantiles_payload(quantiles) for name, quantiles in found.stages.items()},
            "slowest": found.slowest,
            "watermark": found.watermark.isoformat(),
        }
        for modality, found in summary.items()
    }


def quantiles_payload(quantiles: Quantiles) -> dict[str, float]:
    """A distribution in the JSON form of the status page."""
    return {
        "count": quantiles.count,
        "p50": round(quantiles.p50, 4),
        "p95": round(quantiles.p95, 4),
        "p99": round(quantiles.p99, 4),
        "max": round(quantiles.max, 4),
    }
