"""Changes of chat messages: which one counts, the message with its present text, and the end of a wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from mmplatform.artifacts import Artifact, Provenance, Retraction, Stamps, artifact_id
from mmplatform.derive.chat import passage_spans
from mmplatform.derive.chat_memory import MessageEntry
from mmplatform.derive.passages import DerivedBatch, quarantine
from mmplatform.derive.pii.replacement import Span
from mmplatform.events import Arrival, ChatChange, ChatEdited, ChatEvent, ChatMessage, Position, utc_now
from mmplatform.modalities import CHAT, CHAT_CHANGE
from mmplatform.refusals import Released


class MessageDeriver(Protocol):
    """Deriver of messages with their present text."""

    name: str
    version: str

    def derive(
        self, arrivals: Sequence[Arrival[ChatMessage]], joint_spans: Mapping[str, Sequence[Span]]
    ) -> DerivedBatch:
        """Message and passages of each; by identity, the personal data that only a reading with others finds."""

    def read_together(self, texts: Sequence[str]) -> Sequence[Sequence[Span]]:
        """Personal data in joined texts."""


AWAITED_REASON: Final = "its message has not come in this conversation: it is applied when that comes within 24 hours"

EDITED: Final = "a shorter text has fewer passages"
DELETED: Final = "its message was deleted at the source"
REDACTED: Final = "its message was redacted at the source"
NOT_DERIVED: Final = "the new text of its message could not be derived"
DELETION_REASONS: Final = (DELETED, REDACTED)
"""Reasons of the retractions of messages that their sources deleted."""


def supersedes(event: ChatChange, entry: MessageEntry, digest: str) -> bool:
    """True for a change that is newer: by the source's revision, else by the log. A deletion always is.

    The repetition of an edit that another one has replaced is not; ``digest`` is that of the event's identity.
    """
    if isinstance(event, ChatEdited) and digest in entry.edits[:-1]:
        return False
    if not isinstance(event, ChatEdited) or event.revision is None or entry.revision is None:
        return True
    return event.revision >= entry.revision


def present_message(edit: ChatEdited, entry: MessageEntry) -> ChatMessage:
    """The message with the text of its edit: its own role and time, and the edit's time of arrival."""
    return ChatMessage(
        tenant=edit.tenant,
        source=edit.source,
        conversation_id=edit.conversation_id,
        event_id=edit.message_id,
        subject_id=edit.subject_id,
        event_time=entry.event_time or edit.event_time,
        ingested_at=edit.ingested_at,
        role=entry.role,
        text=edit.text,
    )


def max_passages(text: str) -> int:
    """Return more passages than a text has by any redactor: placeholders make it twice as long at most."""
    return 2 * sum(1 for _ in passage_spans(text)) + 1


def name_changes(artifact: Artifact, change_ids: Sequence[str]) -> Artifact:
    """Name among the source events what changed the text: its edit, and the message that gave a part of it away."""
    if not change_ids:
        return artifact
    origin = artifact.provenance
    named = origin.model_copy(update={"event_ids": (*origin.event_ids, *change_ids)})
    return artifact.model_copy(update={"provenance": named})


def retraction(
    arrival: Arrival[ChatEvent], entry: MessageEntry, change_ids: Sequence[str], reason: str, deriver: MessageDeriver
) -> Retraction:
    """Retraction of a message; with another ``artifact_id`` that of its passages."""
    event = arrival.event
    uid, message_id = (
        (event.uid, event.event_id) if isinstance(event, ChatMessage) else (event.message_uid, event.message_id)
    )
    return Retraction(
        artifact_id=artifact_id("message", uid, 0),
        modality=CHAT.modality,
        tenant=event.tenant,
        source=event.source,
        conversation_id=event.conversation_id,
        subject_id=event.subject_id,
        stamps=Stamps(
            event_time=entry.event_time or event.event_time, ingested_at=event.ingested_at, derived_at=utc_now()
        ),
        provenance=Provenance(
            event_ids=(message_id, *change_ids),
            position=arrival.position,
            deriver=deriver.name,
            deriver_version=deriver.version,
            seconds=0.0,
        ),
        reason=reason,
    )


def release_row(change: Arrival[ChatChange], position: Position) -> Released:
    """Release the quarantine row of a change whose message has come, or that a newer one replaces."""
    row = quarantine(change, contract=CHAT_CHANGE, reasons=(AWAITED_REASON,))
    fields = row.model_dump(exclude={"kind", "contract", "reasons", "position"})
    return Released(**fields, position=position)


def to_coordinates(position: Position) -> tuple[int, int, int]:
    """Generation, topic partition and offset of a position of a chat."""
    return position.generation, position.topic_partition, position.offset


def to_position(coordinates: tuple[int, int, int]) -> Position:
    """The reverse of :func:`to_coordinates`."""
    generation, number, offset = coordinates
    return Position(topic=CHAT.topic, topic_partition=number, offset=offset, generation=generation)
