"""Events on the log that are not derived yet, by the pseudonym of their subject.

Only headers and append times are kept. Nothing here knows a client of the log.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from mmplatform.progress import EventSource
from mmplatform.retrieve.receipt.derivation_progress import Derived
from mmplatform.retrieve.receipt.refusals_by_subject import RefusalsBySubject

MAX_EVENTS: Final = 200_000
"""Pending events whose subject is remembered, about 80 MB; of more, only the number is counted."""

_Order = tuple[int, int]
"""Generation of the log, and offset."""


class LoggedEvent(NamedTuple):
    """An event on the log."""

    order: _Order
    subject: str
    logged_at: datetime
    is_canary: bool = False


class PendingCount(NamedTuple):
    """Number of events that wait, None where it is not certain, and the append time of the oldest."""

    number: int | None
    oldest_at: datetime | None


@dataclass(slots=True)
class _Source:
    order: _Order = (0, 0)
    """Generation and next offset of what was read."""

    derived: _Order = (0, 0)
    read_until: datetime | None = None
    has_reached_end: bool = False
    uncounted: _Order = (-1, -1)
    """The last event whose subject is not remembered."""

    events: deque[LoggedEvent] = field(default_factory=deque)
    canaries: deque[_Order] = field(default_factory=deque)
    """Canaries that are not derived: they are in no total."""


class PendingEvents:
    """Pending and refused events of all sources. Thread-safe."""

    def __init__(self, max_events: int = MAX_EVENTS) -> None:
        self._lock = threading.Lock()
        self._max_events = max_events
        self._remembered = 0
        self._sources: dict[EventSource, _Source] = {}
        self._subjects: dict[str, dict[EventSource, OrderedDict[_Order, datetime]]] = {}
        self._refusals = RefusalsBySubject()

    def begin(self, source: EventSource, order: _Order) -> None:
        """Read a source from here on: everything before is derived."""
        with self._lock:
            if (before := self._sources.get(source)) is not None:
                for event in before.events:
                    self._forget(source, event)
            self._sources[source] = _Source(order, order)

    def add(self, source: EventSource, event: LoggedEvent) -> None:
        """Add an event that was read; events of a source come in their order, and a repetition changes nothing."""
        with self._lock:
            state = self._sources.setdefault(source, _Source())
            # A foreign client may write no generation: the log has only one at a time.
            event = event._replace(order=(max(event.order[0], state.order[0]), event.order[1]))
            if event.order < state.order:
                return
            state.order, state.read_until = (event.order[0], event.order[1] + 1), event.logged_at
            if event.order < state.derived:
                return
            if event.is_canary:
                state.canaries.append(event.order)
            if self._remembered >= self._max_events:
                state.uncounted = event.order
                return
            state.events.append(event)
            self._subjects.setdefault(event.subject, {}).setdefault(source, OrderedDict())[event.order] = (
                event.logged_at
            )
            self._remembered += 1

    def reach_end(self, source: EventSource) -> None:
        """Note that a source was read to its end: from now on its events are read as they come."""
        with self._lock:
            self._sources.setdefault(source, _Source()).has_reached_end = True

    def lose_touch(self) -> None:
        """Note that nothing is read now, until :meth:`reach_end`."""
        with self._lock:
            for state in self._sources.values():
                state.has_reached_end = False

    def refuse(self, subject: str, event: str, contract: str, logged_at: datetime) -> None:
        """Note that an event of a subject was quarantined under a contract."""
        with self._lock:
            self._refusals.add(subject, event, contract, logged_at)

    def release(self, subject: str, event: str) -> None:
        """Note that a run has derived an event that was refused."""
        with self._lock:
            self._refusals.remove(subject, event)

    def refused_of(self, subject: str) -> dict[str, int]:
        """Refused events of one subject in the last day, by contract."""
        with self._lock:
            return self._refusals.count(subject)

    def drop_derived(self, derived: Mapping[EventSource, Derived]) -> None:
        """Drop what is derived by now."""
        with self._lock:
            for source, found in derived.items():
                state = self._sources.get(source)
                if state is None or found.order <= state.derived:
                    continue
                state.derived = found.order
                while state.canaries and state.canaries[0] < found.order:
                    state.canaries.popleft()
                while state.events and state.events[0].order < found.order:
                    self._forget(source, state.events.popleft())

    def in_all(self, topic: str) -> PendingCount:
        """Pending events of a topic, without canaries."""
        with self._lock:
            states = [state for source, state in self._sources.items() if source.topic == topic]
            is_certain = bool(states) and all(state.has_reached_end for state in states)
            number = sum(_count(state) for state in states)
            firsts = (next((event for event in state.events if not event.is_canary), None) for state in states)
            oldest = min((event.logged_at for event in firsts if event is not None), default=None)
            return PendingCount(number if is_certain else None, oldest)

    def of_subject(self, subject: str, topics: Collection[str]) -> PendingCount:
        """Pending events of one subject in some topics."""
        with self._lock:
            states = [state for source, state in self._sources.items() if source.topic in topics]
            is_certain = bool(states) and all(
                state.has_reached_end and state.uncounted < state.derived for state in states
            )
            by_source = self._subjects.get(subject, {})
            events = [found for source, found in by_source.items() if source.topic in topics]
            oldest = min((next(iter(found.values())) for found in events), default=None)
            return PendingCount(sum(map(len, events)) if is_certain else None, oldest)

    def sources(self, topics: Collection[str]) -> list[EventSource]:
        """The sources of topics that are read."""
        with self._lock:
            return [source for source in self._sources if source.topic in topics]

    def is_clear(self, source: EventSource, subject: str, until: datetime) -> bool:
        """True when it is certain that no event of the subject that was appended until then waits in this source."""
        with self._lock:
            state = self._sources.get(source)
            if state is None or state.read_until is None or state.read_until <= until:
                return False
            if state.uncounted >= state.derived:
                return False
            events = self._subjects.get(subject, {}).get(source)
            return not events or next(iter(events.values())) > until

    def _forget(self, source: EventSource, event: LoggedEvent) -> None:
        self._remembered -= 1
        by_source = self._subjects[event.subject]
        del by_source[source][event.order]
        if not by_source[source]:
            del by_source[source]
        if not by_source:
            del self._subjects[event.subject]


def _count(state: _Source) -> int:
    """Events that were read and are not derived; of two generations only those that are remembered."""
    if state.order[0] != state.derived[0]:
        return sum(not event.is_canary for event in state.events)
    return max(state.order[1] - state.derived[1] - len(state.canaries), 0)
