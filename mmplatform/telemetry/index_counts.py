"""What the index worker put into each bucket since it started, and how long that took; for whoever tells of landings.

Counts only grow, so that a reader who comes now and then takes differences. Gaps are those of a rolling window.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from mmplatform.buckets import bucket_name
from mmplatform.telemetry.freshness import WINDOW_S, Quantiles

MAX_GAPS_PER_BUCKET: Final = 2_000
"""Gaps for each bucket: at 10 passages a second the whole window of 15 minutes, and half a megabyte in all."""


class BucketCounts:
    """Counts by bucket; safe to read from another thread."""

    def __init__(self, *, window_s: float = WINDOW_S, max_gaps: int = MAX_GAPS_PER_BUCKET) -> None:
        self._window_s = window_s
        self._max_gaps = max_gaps
        self._upserted: Counter[str] = Counter()
        self._deleted: Counter[str] = Counter()
        self._gaps: dict[str, deque[tuple[float, float]]] = {}
        self._watermarks: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def record_upsert(self, subject_id: str, event_time: datetime, gap_s: float) -> None:
        """A passage is in the index."""
        bucket = bucket_name(subject_id)
        with self._lock:
            self._upserted[bucket] += 1
            self._gaps.setdefault(bucket, deque(maxlen=self._max_gaps)).append((time.monotonic(), gap_s))
            self._watermarks[bucket] = max(self._watermarks.get(bucket, event_time), event_time)

    def record_delete(self, subject_id: str) -> None:
        """A passage was taken back."""
        with self._lock:
            self._deleted[bucket_name(subject_id)] += 1

    def as_json(self) -> Mapping[str, Mapping[str, Any]]:
        """Each bucket that anything happened to, as the status page tells it."""
        since = time.monotonic() - self._window_s
        with self._lock:
            recent = {bucket: [gap for at, gap in gaps if at >= since] for bucket, gaps in self._gaps.items()}
            return {
                bucket: {
                    "upserted": self._upserted[bucket],
                    "deleted": self._deleted[bucket],
                    "gap": _quantiles_payload(Quantiles.from_seconds(recent.get(bucket, ()))),
                    "watermark": at.isoformat() if (at := self._watermarks.get(bucket)) else None,
                }
                for bucket in sorted({*self._upserted, *self._deleted})
            }


def _quantiles_payload(quantiles: Quantiles | None) -> dict[str, float]:
    """Nothing where nothing was measured lately."""
    if quantiles is None:
        return {}
    return {name: round(getattr(quantiles, name), 4) for name in ("count", "p50", "p95", "p99", "max")}
