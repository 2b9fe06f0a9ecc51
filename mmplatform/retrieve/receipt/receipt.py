"""Receipt of an answer: until when it has everything acknowledged, and what is pending, open or refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final

from pydantic import Field

from mmplatform.events import Modality, Record
from mmplatform.identity import conversation_of_key, is_canary_key
from mmplatform.modalities import CALL, MODALITIES
from mmplatform.progress import EventSource
from mmplatform.retrieve.receipt.derivation_progress import DerivationProgress, Derived
from mmplatform.retrieve.receipt.pending_events import PendingEvents

STALLED_AFTER_S: Final = 10.0
"""A deriver reports every second."""


class OpenConversation(Record):
    """A call that is being spoken: its last audio is in no answer yet."""

    conversation_id: str
    since: datetime = Field(description="when the gateway accepted the first audio that is in no utterance yet")


class ModalityReceipt(Record):
    """Completeness of an answer in one modality, over the events of all subjects."""

    modality: Modality
    complete_until: datetime | None = Field(
        description="every event that was acknowledged before this time of the log is in reach, or refused, or in an "
        "open call; null: nothing is claimed"
    )
    pending: int | None = Field(description="events on the log that are not derived yet; null: not known now")
    oldest_pending_at: datetime | None = Field(description="when the broker appended the oldest of them; null: unknown")
    open_calls: int = Field(description="calls being spoken, whose last audio is not in reach")
    open_since: datetime | None = Field(description="the earliest time of such audio")
    stalled: bool = Field(description="no deriver of it has reported for ten seconds")


class SubjectReceipt(Record):
    """Events of its subject that an answer may be missing."""

    pending: int | None = Field(description="their events on the log that are not derived yet; null: not known now")
    oldest_pending_at: datetime | None
    open_calls: tuple[OpenConversation, ...] | None = Field(description="their calls being spoken; null: not known now")
    refused: dict[str, int] = Field(
        description="their events of the last day that were refused, shed or in conflict, by the contract's name"
    )


class Receipt(Record):
    """Parts that an answer may be missing, taken before its search: it may have more than this, never less."""

    modalities: tuple[ModalityReceipt, ...]
    subject: SubjectReceipt | None = Field(description="null: the question is about all subjects")

    def without_claims(self) -> Receipt:
        """The receipt of an answer without the index: what was indexed before is not in reach."""
        return self.model_copy(
            update={
                "modalities": tuple(
                    modality.model_copy(update={"complete_until": None}) for modality in self.modalities
                )
            }
        )


class ReceiptBook:
    """Writes receipts. Thread-safe.

    Args:
        progress: how far the derivers are.
        pending: events that are not derived.
        positions: next offsets of the tail, by topic partition of artifacts.
        pseudonym: of a subject's key.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        progress: DerivationProgress,
        pending: PendingEvents,
        positions: Callable[[], Mapping[int, int]],
        pseudonym: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._pending = pending
        self._positions = positions
        self._pseudonym = pseudonym
        self._clock = clock

    def derived(self) -> dict[EventSource, Derived]:
        """State of each source now."""
        derived = self._progress.derived(self._positions())
        self._pending.drop_derived(derived)
        return derived

    def receipt(self, subject_key: str | None, modalities: Collection[Modality] = ()) -> Receipt:
        """Receipt of an answer about one subject, or about all, in some modalities, or in all."""
        derived, heard_at = self.derived(), self._progress.heard_at()
        chosen: list[Modality] = [name for name in MODALITIES if not modalities or name in modalities]
        return Receipt(
            modalities=tuple(self._of_modality(name, derived, heard_at) for name in chosen),
            subject=self._of_subject(subject_key, derived, chosen) if subject_key is not None else None,
        )

    def _of_modality(
        self, modality: Modality, derived: Mapping[EventSource, Derived], heard_at: Mapping[EventSource, float]
    ) -> ModalityReceipt:
        topic = MODALITIES[modality].topic
        waiting = self._pending.in_all(topic)
        states = {name: state for name, state in derived.items() if name.topic == topic}
        named = [call for state in states.values() for call in state.open_calls]
        open_calls = [call.since for call in named if not is_canary_key(call.conversation_key)]
        canaries = len(named) - len(open_calls)
        newest = max((heard for name, heard in heard_at.items() if name.topic == topic), default=None)
        return ModalityReceipt(
            modality=modality,
            complete_until=self._complete_until(topic, states),
            pending=waiting.number,
            oldest_pending_at=waiting.oldest_at,
            open_calls=sum(state.open_call_count for state in states.values()) - canaries,
            open_since=min(open_calls, default=None),
            stalled=newest is None or self._clock() - newest > STALLED_AFTER_S,
        )

    def _complete_until(self, topic: str, states: Mapping[EventSource, Derived]) -> datetime | None:
        """The earliest time over all topic partitions; None as long as one of them is unknown."""
        sources = self._pending.sources([topic])
        if not _covers(states, sources):
            return None
        times = [states[source].complete_until for source in sources]
        return None if None in times else min(moment for moment in times if moment is not None)

    def _of_subject(
        self, subject_key: str, derived: Mapping[EventSource, Derived], modalities: Collection[Modality]
    ) -> SubjectReceipt:
        subject = self._pseudonym(subject_key)
        topics = [MODALITIES[name].topic for name in modalities]
        waiting = self._pending.of_subject(subject, topics)
        return SubjectReceipt(
            pending=waiting.number,
            oldest_pending_at=waiting.oldest_at,
            open_calls=self._open_calls(subject, derived) if CALL.topic in topics else (),
            refused=self._pending.refused_of(subject),
        )

    def _open_calls(self, subject: str, derived: Mapping[EventSource, Derived]) -> tuple[OpenConversation, ...] | None:
        states = {source: state for source, state in derived.items() if source.topic == CALL.topic}
        are_named = all(state.open_call_count == len(state.open_calls) for state in states.values())
        if not are_named or not _covers(states, self._pending.sources([CALL.topic])):
            return None
        calls = [
            OpenConversation(conversation_id=conversation_of_key(call.conversation_key), since=call.since)
            for state in states.values()
            for call in state.open_calls
            if subject in call.subjects
        ]
        return tuple(sorted(calls, key=lambda call: call.since))


def _covers(states: Mapping[EventSource, Derived], sources: Collection[EventSource]) -> bool:
    """True when every topic partition that a deriver knows is followed, and its progress is known."""
    partitions = max((state.source_partitions for state in states.values()), default=0)
    return bool(sources) and len(sources) >= partitions and all(source in states for source in sources)
