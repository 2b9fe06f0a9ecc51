"""Active freshness measure: polls the public search and records when each passage is first returned.

A passage's gap is the time at which this process first received it from ``/v1/search``, less its event time. It
includes the network, the index, and the search itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Self

from mmplatform.errors import PlatformError
from mmplatform.events import utc_now
from mmplatform.modalities import MODALITIES

POLL_S: Final = 0.15
MAX_HITS: Final = 100


class SearchWatch:
    """Polls for one subject on a thread until it is stopped."""

    def __init__(self, search: Callable[[dict[str, Any]], dict[str, Any]], subject_id: str) -> None:
        self._search = search
        self._subject_id = subject_id
        self._stop = threading.Event()
        self._gaps: dict[str, tuple[str, float]] = {}
        self._hits: dict[str, dict[str, Any]] = {}
        self._thread = threading.Thread(target=self._loop, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def gaps(self) -> dict[str, list[float]]:
        """Seconds until retrievable, by modality."""
        found: dict[str, list[float]] = {}
        for modality, gap in list(self._gaps.values()):
            found.setdefault(modality, []).append(gap)
        return found

    def newest(self, count: int) -> list[dict[str, Any]]:
        """The hits that became retrievable last, newest first."""
        return list(self._hits.values())[: -count - 1 : -1]

    def _loop(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            for modality in MODALITIES:
                try:
                    answer = self._search(
                        {"query": "payment", "subject_id": self._subject_id, "modalities": [modality], "k": MAX_HITS}
                    )
                except PlatformError:
                    continue  # the stack is starting or restarting, and the gap grows meanwhile
                now = utc_now()
                for hit in answer["hits"]:
                    if hit["passage_id"] not in self._gaps:
                        gap = (now - datetime.fromisoformat(hit["event_time"])).total_seconds()
                        self._gaps[hit["passage_id"]] = (modality, gap)
                        self._hits[hit["passage_id"]] = hit
            self._stop.wait(max(0.0, POLL_S - (time.monotonic() - started)))
