"""One canary: sent through the public gateway, and looked for through the public search until it is found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol, get_args

import structlog

from mmplatform.errors import Busy, PlatformError
from mmplatform.events import Modality, Position, utc_now
from mmplatform.ingest.schemas import Accepted
from mmplatform.pipeline.canary.claims import CanaryAnswer, Claim, false_claims
from mmplatform.pipeline.canary.samples import new_nonce

_log = structlog.get_logger(__name__)
Outcome = Literal["found", "missing", "refused", "shed", "throttled", "not_accepted"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
TIMEOUT_S: Final = 180.0
"""After it a canary is missing. One of a slow modality may wait behind a backlog."""

_MAX_WAIT_S: Final = 5.0
"""Longest wait of one search: a worker that is stopped meanwhile ends within it."""

_RETRY_S: Final = 0.25
_CONFIRM_S: Final = 2.0
"""The quarantine is a topic of its own: a gateway may read of a refusal a moment after the progress behind it."""

_LATE_S: Final = 5.0
"""Time beyond the deadline of a canary in which its claims are still confirmed."""


class Canary(NamedTuple):
    """A synthetic event, and how it is looked for. Its subject is of this canary alone.

    Attributes:
        subject_id: begins with the day, which decides in which collection of the index it lies.
        event_ids: a hit is the canary's when it is of one of these.
    """

    modality: Modality
    nonce: str
    subject_id: str
    conversation_id: str
    event_ids: tuple[str, ...]


class CanaryReport(NamedTuple):
    """End of a canary.

    Attributes:
        topic_partition: that of its event; None: it was not accepted.
        gap_s: from its acknowledgement to the answer that had it, in seconds; None: it was not found.
        claims: claims of receipts about it that were not true.
    """

    modality: Modality
    outcome: Outcome
    topic_partition: int | None = None
    gap_s: float | None = None
    claims: frozenset[Claim] = frozenset()


class FalseReceipt(NamedTuple):
    """Claims about a canary that were found not to be true.

    Attributes:
        claims: those that were not reported before.
        is_first: True for the first report about this canary.
    """

    modality: Modality
    claims: frozenset[Claim]
    is_first: bool


class CanaryDoors(Protocol):
    """Public gateway and search, with the canaries' key."""

    def send(self, canary: Canary) -> Accepted:
        """Send the events of a canary; returns the acceptance of the last. Raises as a gateway's client."""

    def search(self, canary: Canary, token: str, max_wait_s: float) -> CanaryAnswer | None:
        """Search for a canary, behind its token where the search can wait; None: there was no answer."""


def new_canary(modality: Modality, conversation_id: str, event_ids: Callable[[str], tuple[str, ...]]) -> Canary:
    """A canary with a nonce of its own; ``event_ids`` makes its ids of the nonce."""
    nonce = new_nonce()
    return Canary(modality, nonce, f"{utc_now():%Y%m%d}-{modality}-{nonce}", conversation_id, event_ids(nonce))


class CanaryProbe:
    """Sends canaries and looks for them. Thread-safe when the doors are.

    Args:
        doors: gateway and search.
        appended_at: when the broker appended an event, by the log's clock; None: the log does not answer.
        on_false_receipt: gets each false receipt as soon as it is confirmed: the canary may never end.
        stopped: ends a search that is under way.
        timeout_s: after it a canary is missing, in seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        doors: CanaryDoors,
        appended_at: Callable[[Position], datetime | None],
        *,
        on_false_receipt: Callable[[FalseReceipt], None] = lambda _: None,
        stopped: threading.Event | None = None,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doors = doors
        self._appended_at = appended_at
        self._on_false_receipt = on_false_receipt
        self._stopped = stopped or threading.Event()
        self._timeout_s = timeout_s
        self._clock = clock

    def run(self, canary: Canary) -> CanaryReport | None:
        """Send a canary and look for it until it is found; None when the probe was stopped before."""
        try:
            accepted = self._doors.send(canary)
        except PlatformError as error:
            _log.warning("canary not accepted", modality=canary.modality, reason=str(error))
            return CanaryReport(canary.modality, "throttled" if isinstance(error, Busy) else "not_accepted")
        if accepted.shed:
            return CanaryReport(canary.modality, "shed", accepted.position.topic_partition)
        search = _Search(canary, accepted, self._doors, self._appended_at)
        return self._search_until_found(search, self._clock())

    def _search_until_found(self, search: _Search, acknowledged_at: float) -> CanaryReport | None:
        deadline = acknowledged_at + self._timeout_s
        while (left_s := deadline - self._clock()) > 0:
            answer = search.query(min(left_s, _MAX_WAIT_S))
            if answer is None:
                if self._stopped.wait(_RETRY_S):
                    return None
                continue
            if not answer.has_event(search.canary.event_ids) and (claims := search.suspect(answer)):
                answer = self._confirm(search, claims, deadline + _LATE_S) or answer
            if answer.has_event(search.canary.event_ids):
                return search.report("found", self._clock() - acknowledged_at)
            if answer.refused:
                return search.report("refused")
            # Its end was published and a passage was not found, or the search cannot wait: ask again soon.
            if self._stopped.wait(_RETRY_S):
                return None
        return search.report("missing")

    def _confirm(self, search: _Search, claims: frozenset[Claim], until: float) -> CanaryAnswer | None:
        """Ask once more: claims stand, unless the canary was refused meanwhile. Without an answer they stand, too."""
        again = None
        while again is None and self._clock() < until:
            if self._stopped.wait(_CONFIRM_S):
                return None
            again = search.query(0.0)
        if again is None or not again.refused:
            self._on_false_receipt(search.add_claims(claims))
        return again


class _Search:
    """Search for one canary."""

    def __init__(
        self,
        canary: Canary,
        accepted: Accepted,
        doors: CanaryDoors,
        appended_at: Callable[[Position], datetime | None],
    ) -> None:
        self.canary = canary
        self._accepted = accepted
        self._doors = doors
        self._read_append_time = appended_at
        self._appended_at: datetime | None = None
        self._claims: frozenset[Claim] = frozenset()

    def query(self, max_wait_s: float) -> CanaryAnswer | None:
        return self._doors.search(self.canary, self._accepted.token, max_wait_s)

    def suspect(self, answer: CanaryAnswer) -> frozenset[Claim]:
        """False claims of an answer that are not reported yet."""
        found = false_claims(answer, self.canary.modality, self.canary.event_ids, self._append_time)
        return found - self._claims

    def add_claims(self, claims: frozenset[Claim]) -> FalseReceipt:
        is_first = not self._claims
        self._claims |= claims
        position = self._accepted.position
        _log.error(
            "a receipt claimed a canary that the search did not return",
            modality=self.canary.modality,
            claims=sorted(claims),
            topic_partition=position.topic_partition,
            offset=position.offset,
        )
        return FalseReceipt(self.canary.modality, claims, is_first)

    def report(self, outcome: Outcome, gap_s: float | None = None) -> CanaryReport:
        number = self._accepted.position.topic_partition
        if outcome == "missing":
            _log.error("canary missing", modality=self.canary.modality, topic_partition=number)
        return CanaryReport(self.canary.modality, outcome, number, gap_s, self._claims)

    def _append_time(self) -> datetime | None:
        if self._appended_at is None:
            self._appended_at = self._read_append_time(self._accepted.position)
        return self._appended_at
