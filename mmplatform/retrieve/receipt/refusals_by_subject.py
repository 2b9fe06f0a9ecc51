"""Refused events of the last day, by the pseudonym of their subject. For one lock of its owner."""

from __future__ import annotations

from collections import Counter, OrderedDict
from datetime import datetime, timedelta
from typing import Final, NamedTuple

MAX_REFUSALS: Final = 200_000
"""Refused events that are remembered, about 80 MB; of more, the oldest are forgotten."""

REFUSED_FOR: Final = timedelta(days=1)


class _Refusal(NamedTuple):
    contract: str
    logged_at: datetime


class RefusalsBySubject:
    """Refused events, in the order in which the log has them."""

    def __init__(self, max_refusals: int = MAX_REFUSALS) -> None:
        self._max_refusals = max_refusals
        self._refusals: OrderedDict[tuple[str, str], _Refusal] = OrderedDict()
        self._events: dict[str, set[str]] = {}

    def add(self, subject: str, event: str, contract: str, logged_at: datetime) -> None:
        """Note that an event of a subject was quarantined under a contract; a repetition changes nothing."""
        self.remove(subject, event)
        self._refusals[subject, event] = _Refusal(contract, logged_at)
        self._events.setdefault(subject, set()).add(event)
        while self._refusals:
            oldest = next(iter(self._refusals))
            is_old = logged_at - self._refusals[oldest].logged_at > REFUSED_FOR
            if not is_old and len(self._refusals) <= self._max_refusals:
                return
            self.remove(*oldest)

    def remove(self, subject: str, event: str) -> None:
        """Forget a refusal: a run has derived its event, or it is too long ago."""
        if self._refusals.pop((subject, event), None) is None:
            return
        events = self._events[subject]
        events.discard(event)
        if not events:
            del self._events[subject]

    def count(self, subject: str) -> dict[str, int]:
        """Refused events of a subject, by contract."""
        return dict(Counter(self._refusals[subject, event].contract for event in self._events.get(subject, ())))
