"""Upserts, deletes and freshness gaps of each index bucket since the indexer started, for the sensor of landings.

Counts only grow, so that a reader takes differences between its polls. Gaps are those of a rolling window.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from mmplatform.buckets import bucket_name
from mmplatform.telemetry.freshness import WINDOW_S, Quantiles, quantiles_payload

MAX_GAPS_PER_BUCKET: Final = 2_000
"""At 10 passages a second the whole window of 15 minutes; half a megabyte for all buckets."""


class BucketCounts:
    """Counts by bucket. Thread-safe."""

    def __init__(self, *, window_s: float = WINDOW_S, max_gaps: int = MAX_GAPS_PER_BUCKET) -> None:
        self._window_s = window_s
        self._max_gaps = max_gaps
        self._upserted: Counter[str] = Counter()
        self._deleted: Counter[str] = Counter()
        self._gaps: dict[str, deque[tuple[float, float]]] = {}
        self._watermarks: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def record_upsert(self, subject_key: str, event_time: datetime, gap_s: float) -> None:
        """Count a passage that was written to the index."""
        bucket = bucket_name(subject_key)
        with self._lock:
            self._upserted[bucket] += 1
            self._gaps.setdefault(bucket, deque(maxlen=self._max_gaps)).append((time.monotonic(), gap_s))
            self._watermarks[bucket] = max(self._watermarks.get(bucket, event_time), event_time)

    def record_delete(self, subject_key: str) -> None:
        """Count a passage that was retracted."""
        with self._lock:
            self._deleted[bucket_name(subject_key)] += 1

    def as_json(self) -> Mapping[str, Mapping[str, Any]]:
        """Counts of each bucket that changed, in the JSON form of the status page."""
        since = time.monotonic() - self._window_s
        with self._lock:
            recent = {
                bucket: [gap for recorded_at, gap in gaps if recorded_at >= since]
                for bucket, gaps in self._gaps.items()
            }
            return {
                bucket: {
                    "upserted": self._upserted[bucket],
                    "deleted": self._deleted[bucket],
                    "gap": quantiles_payload(gap) if (gap := Quantiles.from_seconds(recent.get(bucket, ()))) else {},
                    "watermark": watermark.isoformat() if (watermark := self._watermarks.get(bucket)) else None,
                }
                for bucket in sorted({*self._upserted, *self._deleted})
            }
