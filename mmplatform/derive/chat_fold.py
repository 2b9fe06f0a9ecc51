"""Chat fold: applies edits, deletions and redactions to the messages of their conversation, in the order of the log.

The rules are in docs/explanation/chat-changes.md. The deriver itself knows no changes: the fold gives it each message
with its present text. What is derived never depends on the size of a micro-batch, so that the stream and a run agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from mmplatform.artifacts import Artifact, Passage, Retraction, artifact_id
from mmplatform.derive.chat_changes import (
    AWAITED_REASON,
    DELETED,
    EDITED,
    NOT_DERIVED,
    REDACTED,
    MessageDeriver,
    max_passages,
    name_changes,
    present_message,
    release_row,
    retraction,
    supersedes,
    to_coordinates,
    to_position,
)
from mmplatform.derive.chat_joint import JointReader
from mmplatform.derive.chat_memory import ChatMemory, MemoryChanges, MessageEntry, with_edit
from mmplatform.derive.passages import DerivedBatch, quarantine
from mmplatform.derive.pii.edges import find_edges
from mmplatform.errors import Busy, Permanent, Rejected, Unavailable
from mmplatform.events import (
    Arrival,
    ChatChange,
    ChatDeleted,
    ChatEdited,
    ChatEvent,
    ChatMessage,
    ChatRedacted,
)
from mmplatform.modalities import CHAT_CHANGE
from mmplatform.refusals import Quarantined, Released

MAX_WAIT: Final = timedelta(hours=24)
"""A change waits so long for its message, by the times at which the gateway accepted them."""

OTHER_SUBJECT_REASON: Final = "its message is about another subject"
AFTER_DELETION_REASON: Final = "its message was deleted before"
_NO_EDGES: Final[dict[str, object]] = {"edges": "", "joint": (), "completed_by": ""}


class ChatFold:
    """Derives chats with a memory; what it remembers is written when a batch was derived."""

    def __init__(self, deriver: MessageDeriver, memory: ChatMemory) -> None:
        self.name = deriver.name
        self.version = deriver.version
        self._deriver = deriver
        self._memory = memory

    def derive(self, arrivals: Sequence[Arrival[ChatEvent]]) -> DerivedBatch:
        """Apply the events in order."""
        step = _Step(self._deriver, MemoryChanges(self._memory))
        try:
            for arrival in arrivals:
                step.apply(arrival)
            step.derive_pending()
        except (Unavailable, Busy, Permanent):
            raise
        except Exception as error:
            if len(arrivals) > 1:
                raise  # the caller halves the batch
            step.give_up(arrivals[0], error)
        step.changes.commit()
        return DerivedBatch(tuple(step.artifacts), tuple(step.quarantined), tuple(step.released))


class _Step:
    """One micro-batch: what is derived, retracted and refused, and the changes of the memory."""

    def __init__(self, deriver: MessageDeriver, changes: MemoryChanges) -> None:
        self._deriver = deriver
        self._pending: dict[str, Arrival[ChatMessage]] = {}
        self._joint = JointReader(changes, deriver.read_together)
        self.changes = changes
        self.artifacts: list[Artifact] = []
        self.quarantined: list[Quarantined] = []
        self.released: list[Released] = []

    def apply(self, arrival: Arrival[ChatEvent]) -> None:
        """Apply one event."""
        event = arrival.event
        if isinstance(event, ChatMessage):
            self._apply_message(Arrival(event, arrival.position))
            return
        if event.message_uid in self._pending:
            self.derive_pending()  # how many passages its text has must be known, as if it had come alone
        self._apply_change(Arrival(event, arrival.position))

    def derive_pending(self) -> None:
        """Derive the messages that have another text now."""
        if self._pending:
            self._pending = self._joint.read(self._pending)
            self._derive(self._pending)
            self._pending = {}

    def _derive(self, pending: Mapping[str, Arrival[ChatMessage]]) -> None:
        entries = {uid: self.changes.message(arrival.event, uid, arrival.position) for uid, arrival in pending.items()}
        joint_spans = {uid: entry.joint for uid, entry in entries.items() if entry is not None and entry.joint}
        derived = self._deriver.derive(list(pending.values()), joint_spans)
        self.quarantined += derived.quarantined
        ordinals: dict[str, set[int]] = {artifact_id("message", uid, 0): set() for uid in pending}
        for artifact in derived.artifacts:
            entry = None if isinstance(artifact, Retraction) else entries[artifact.event_uids[0]]
            self.artifacts.append(name_changes(artifact, entry.change_ids) if entry is not None else artifact)
            if isinstance(artifact, Passage):
                ordinals[artifact.source_artifact_id].add(artifact.ordinal)
        for uid, arrival in pending.items():
            entry = entries[uid]
            if entry is None:  # forgotten by later messages of the same batch
                continue
            found = ordinals[artifact_id("message", uid, 0)]
            possible = entry.ordinals if entry.change_ids else range(entry.passages)
            self._retract(arrival, entry, EDITED, sorted({*possible} - found), with_message=False)
            counted = {"passages": max(found, default=-1) + 1, "max_passages": max_passages(arrival.event.text)}
            self.changes.put_message(arrival.event, uid, arrival.position, entry.model_copy(update=counted))

    def give_up(self, arrival: Arrival[ChatEvent], error: Exception) -> None:
        """Quarantine what cannot be derived, and retract its message: the old text must not be found.

        What the event gave away of other messages is derived each by itself, and so is the event. The error of a
        message that stands alone is raised again: the caller quarantines it, and it is known for its edits.
        """
        event = arrival.event
        uid = event.message_uid if not isinstance(event, ChatMessage) else event.uid
        given_away = {name: waiting for name, waiting in self._pending.items() if name != uid}
        for name, waiting in given_away.items():
            self._derive_alone(name, waiting, waiting)
        entry = self.changes.message(event, uid, arrival.position)
        if given_away and uid in self._pending:
            self._derive_alone(uid, self._pending[uid], arrival)
        elif isinstance(event, ChatMessage) and not (entry and entry.event_id):
            self.changes.commit()
            raise error
        else:
            self._withdraw(uid, arrival, error)

    def _derive_alone(self, uid: str, waiting: Arrival[ChatMessage], arrival: Arrival[Any]) -> None:
        try:
            self._derive({uid: waiting})
        except (Unavailable, Busy, Permanent):
            raise
        except Exception as error:  # noqa: BLE001 - whatever the deriver raises for it
            self._withdraw(uid, arrival, error)

    def _withdraw(self, uid: str, arrival: Arrival[Any], error: Exception) -> None:
        entry = self.changes.message(arrival.event, uid, arrival.position)
        if entry is not None:
            self._retract(arrival, entry, NOT_DERIVED, entry.ordinals, uid=uid)
        reason = str(error) if isinstance(error, Rejected) else f"deriver raised {type(error).__name__}"
        self.quarantined.append(quarantine(arrival, contract=self._deriver.name, reasons=(reason,)))

    def _apply_message(self, arrival: Arrival[ChatMessage]) -> None:
        event, uid = arrival.event, arrival.event.uid
        entry = self.changes.message(event, uid, arrival.position)
        if entry is not None and entry.status != "awaited":
            if entry.status == "live" and not entry.event_id:
                self._pending[uid] = arrival  # a repetition has the same outcome
            return
        live = MessageEntry(
            status="live",
            subject=self._subject(event),
            text_at=to_coordinates(arrival.position),
            role=event.role,
            event_time=event.event_time,
            edges=find_edges(event.text),
        )
        change = self._awaited_change(entry, event) if entry is not None else None
        if change is None:
            self._await_derivation(arrival, arrival, uid, live)
            self.changes.memory.remember(event, arrival.position)
            return
        self.released.append(release_row(change, arrival.position))
        self._change_live(change, arrival, uid, live)

    def _apply_change(self, arrival: Arrival[ChatChange]) -> None:
        event, uid = arrival.event, arrival.event.message_uid
        entry = self.changes.message(event, uid, arrival.position)
        if entry is None:
            self._await(arrival, uid)
        elif not self._is_of_subject(entry, event):
            self._refuse(arrival, OTHER_SUBJECT_REASON)
        elif entry.status == "awaited":
            self._change_awaited(arrival, uid, entry)
        elif entry.status != "live":
            if isinstance(event, ChatEdited):
                self._refuse(arrival, AFTER_DELETION_REASON)
            elif isinstance(event, ChatRedacted):
                self._put(arrival, uid, entry.model_copy(update={"status": "redacted"}))
        elif supersedes(event, entry, self.changes.memory.digest(event.uid)):
            self._change_live(arrival, arrival, uid, entry)

    def _change_live(
        self, change: Arrival[ChatChange], completed_by: Arrival[ChatEvent], uid: str, entry: MessageEntry
    ) -> None:
        """Change a message that is here; ``completed_by`` is the later one of both, whose position is the version."""
        event = change.event
        if isinstance(event, ChatEdited):
            revision = entry.revision if event.revision is None else event.revision
            text = {"text_at": to_coordinates(change.position), "event_id": event.event_id, "revision": revision}
            edits = with_edit(entry.edits, self.changes.memory.digest(event.uid))
            changed = entry.model_copy(update=text | {"edits": edits} | _NO_EDGES | {"edges": find_edges(event.text)})
            present = Arrival(present_message(event, changed), completed_by.position)
            self._await_derivation(present, completed_by, uid, changed)
            self.changes.memory.remember(event, change.position)
            return
        status, reason = ("redacted", REDACTED) if isinstance(event, ChatRedacted) else ("deleted", DELETED)
        stamped = Arrival(event, completed_by.position)
        self._retract(stamped, entry, reason, entry.ordinals, change_id=event.event_id, uid=uid)
        deleted = {"status": status, "passages": 0, "max_passages": 0} | _NO_EDGES
        self._put(completed_by, uid, entry.model_copy(update=deleted))

    def _await_derivation(
        self, present: Arrival[ChatMessage], completed_by: Arrival[ChatEvent], uid: str, entry: MessageEntry
    ) -> None:
        self._put(completed_by, uid, entry)
        self._joint.note(uid, present, entry, self._pending)
        self._pending[uid] = present

    def _change_awaited(self, arrival: Arrival[ChatChange], uid: str, entry: MessageEntry) -> None:
        earlier = self.changes.memory.read_event(to_position(entry.text_at))
        if getattr(earlier, "message_uid", "") != uid:
            earlier = None
        if isinstance(arrival.event, ChatEdited):
            if isinstance(earlier, ChatDeleted | ChatRedacted):
                self._refuse(arrival, AFTER_DELETION_REASON)
                return
            if not supersedes(arrival.event, entry, self.changes.memory.digest(arrival.event.uid)):
                return
        elif isinstance(earlier, ChatRedacted):
            return
        if isinstance(earlier, ChatDeleted | ChatEdited | ChatRedacted) and earlier.uid != arrival.event.uid:
            self.released.append(release_row(Arrival(earlier, arrival.position), arrival.position))
        self._await(arrival, uid)

    def _await(self, arrival: Arrival[ChatChange], uid: str) -> None:
        event = arrival.event
        self._refuse(arrival, AWAITED_REASON)
        subject, text_at = self._subject(event), to_coordinates(arrival.position)
        entry = MessageEntry(status="awaited", subject=subject, text_at=text_at, revision=event.revision)
        self._put(arrival, uid, entry)

    def _awaited_change(self, entry: MessageEntry, event: ChatMessage) -> Arrival[ChatChange] | None:
        """The change that waited for this message, when it is its own and did not wait for too long."""
        position = to_position(entry.text_at)
        change = self.changes.memory.read_event(position)
        if not isinstance(change, ChatEdited | ChatDeleted | ChatRedacted) or change.message_uid != event.uid:
            return None
        # What was deleted stays deleted, however late its message comes.
        in_time = not isinstance(change, ChatEdited) or event.ingested_at - change.ingested_at <= MAX_WAIT
        return Arrival(change, position) if in_time and change.subject_key == event.subject_key else None

    def _refuse(self, arrival: Arrival[ChatChange], reason: str) -> None:
        self.quarantined.append(quarantine(arrival, contract=CHAT_CHANGE, reasons=(reason,)))

    def _put(self, arrival: Arrival[ChatEvent], uid: str, entry: MessageEntry) -> None:
        self.changes.put_message(arrival.event, uid, arrival.position, entry)

    def _is_of_subject(self, entry: MessageEntry, event: ChatEvent) -> bool:
        if entry.subject == self._subject(event):
            return True
        owner = self.changes.memory.read_text(to_position(entry.text_at))  # the digests may be of another key
        return getattr(owner, "subject_key", None) == event.subject_key

    def _subject(self, event: ChatEvent) -> str:
        return self.changes.memory.digest(event.subject_key)

    def _retract(
        self,
        arrival: Arrival[Any],
        entry: MessageEntry,
        reason: str,
        ordinals: Sequence[int],
        *,
        change_id: str = "",
        uid: str = "",
        with_message: bool = True,
    ) -> None:
        """Retract passages of a message, and by default the message itself."""
        message_id = artifact_id("message", uid or arrival.event.uid, 0)
        retracted = [message_id] if with_message else []
        retracted += [artifact_id("passage", message_id, ordinal) for ordinal in ordinals]
        change_ids = (change_id,) if change_id else entry.change_ids
        template = retraction(arrival, entry, change_ids, reason, self._deriver)
        self.artifacts += [template.model_copy(update={"artifact_id": row_id}) for row_id in retracted]
