"""Progress of the derivation in each topic partition of events, as a reader of the artifacts can see it.

A progress record counts once its reader has read the artifacts up to where the record says that the outputs end. When
the reader goes back, the record counts no longer. Nothing here knows a client of the log.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from mmplatform.progress import EventSource, OpenCall, Progress

_MAX_WAITING: Final = 256
"""Records of one source that wait for the reader; of more, every second one is dropped."""


class Derived(NamedTuple):
    """State of one topic partition of events.

    Attributes:
        order: generation of the log and next offset: every event before it is in reach, or in an open call.
        complete_until: every event that was appended before is in reach, or in an open call; None: not known.
        open_calls: calls being spoken, whose last audio is in no utterance yet.
        open_call_count: their number, where not all are named.
        source_partitions: topic partitions of the topic, as the deriver knew them.
    """

    order: tuple[int, int]
    complete_until: datetime | None
    open_calls: tuple[OpenCall, ...]
    open_call_count: int
    source_partitions: int = 0


@dataclass(slots=True)
class _Source:
    counted: Progress | None = None
    outputs: dict[int, int] = field(default_factory=dict)
    """The furthest of the records that count: a later one of a deriver that was paused may say less."""

    complete_until: datetime | None = None
    newest: tuple[int, int] = (0, 0)
    waiting: deque[Progress] = field(default_factory=deque)
    heard_at: float = 0.0


class DerivationProgress:
    """Progress of all sources. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: dict[EventSource, _Source] = {}

    def observe(self, record: Progress, heard_at: float) -> None:
        """Add a record of the progress topic, in the order of that topic; one that says less than another is ignored.

        Args:
            record: the record.
            heard_at: seconds of a monotonic clock.
        """
        with self._lock:
            source = self._sources.setdefault(record.source, _Source())
            source.heard_at = heard_at
            if record.order >= source.newest:
                source.newest = record.order
                source.waiting.append(record)
                if len(source.waiting) > _MAX_WAITING:  # the oldest is the next that counts
                    source.waiting = deque([*list(source.waiting)[:-1:2], source.waiting[-1]])

    def derived(self, positions: Mapping[int, int]) -> dict[EventSource, Derived]:
        """State of each source that is known, for a reader of the artifacts at these next offsets."""
        with self._lock:
            found = {name: _advance(source, positions) for name, source in self._sources.items()}
            return {name: state for name, state in found.items() if state is not None}

    def heard_at(self) -> dict[EventSource, float]:
        """Time of the last record of each source, in seconds of the clock of :meth:`observe`."""
        with self._lock:
            return {name: source.heard_at for name, source in self._sources.items()}


def _advance(source: _Source, positions: Mapping[int, int]) -> Derived | None:
    if not _is_read(source.outputs, positions):
        source.counted, source.complete_until, source.outputs = None, None, {}
    while source.waiting and _is_read(source.waiting[0].outputs, positions):
        record = source.counted = source.waiting.popleft()
        source.outputs = {
            number: max(record.outputs.get(number, 0), source.outputs.get(number, 0))
            for number in record.outputs.keys() | source.outputs.keys()
        }
        if record.complete_until is not None:
            source.complete_until = record.complete_until
    counted = source.counted
    if counted is None:
        return None
    return Derived(
        counted.order, source.complete_until, counted.open_calls, counted.open_call_count, counted.source_partitions
    )


def _is_read(outputs: Mapping[int, int], positions: Mapping[int, int]) -> bool:
    return all(positions.get(number, 0) >= end for number, end in outputs.items())
