"""Sources that edit and delete their chats at random, and what each message must have been left with.

Half of the sources number their changes by a revision, as some chat systems do; the others have only the order in
which they send. Some changes are awkward on purpose: an edit that comes before its message, one with an outdated
revision, one of a deleted message, and a message that is repeated after its edit.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from benchmarks.faults.stack import Broken
from mmplatform.artifacts import artifact_id
from mmplatform.client.client import GatewayClient
from mmplatform.derive.chat import passage_spans
from mmplatform.identity import DEFAULT_TENANT, event_uid

EDITORS: Final = ("editor-a", "editor-b", "editor-c", "editor-d")
MESSAGES: Final = 15
"""Messages of a conversation: with the passages of the long texts, one search returns all of them."""

_WEIGHTS: Final = {"message": 15, "edit": 58, "outdated": 5, "repeat": 5, "early": 3, "delete": 11, "late": 3}
"""Steps of a source, of 100: three quarters are edits, and one of seven changes is a deletion."""

_REDACTED_SHARE: Final = 0.2
_SENTENCES: Final = (0, 0, 0, 12, 24)
"""Sentences behind the first one: an edit may have more passages than the text before it, or fewer."""

_AWAITED_STEPS: Final = 5
"""Steps of a source between an early edit and its message."""


@dataclass(slots=True)
class EditedMessage:
    """A message, all texts that were sent for it, and the text that must be found; none of a deleted one."""

    source: str
    conversation: str
    event_id: str
    texts: list[str] = field(default_factory=list)
    text: str | None = None
    revision: int = 0

    @property
    def subject(self) -> str:
        """Its customer, who has one conversation."""
        return f"{self.source}-{self.conversation}"

    @property
    def uid(self) -> str:
        """Its identity."""
        return self.change_uid(self.event_id)

    def change_uid(self, event_id: str) -> str:
        """Identity of an event of its conversation."""
        return event_uid(DEFAULT_TENANT, self.source, self.conversation, event_id)

    def write(self, chance: random.Random) -> str:
        """Another text of it, unlike all others down to each passage."""
        draft = f"draft {len(self.texts)} of ticket {self.event_id} in queue {self.conversation} at {self.source}"
        lines = range(chance.choice(_SENTENCES))
        more = (f" The customer asks for the parcel again, line {number} of {draft} says." for number in lines)
        self.texts.append(f"This is {draft} and no other.{''.join(more)}")
        return self.texts[-1]


class EditLedger:
    """Acknowledged events, and the texts that they must leave behind.

    Attributes:
        messages: by identity, with the present text.
        raw: identities of all acknowledged events, changes too.
        refused: quarantine id → id of each change that must be named there.
        edits: number of acknowledged edits; of them ``outdated`` change nothing.
        deletions: number of acknowledged deletions, redactions too.
    """

    def __init__(self) -> None:
        self.messages: dict[str, EditedMessage] = {}
        self.raw: set[str] = set()
        self.refused: dict[str, str] = {}
        self.edits = 0
        self.outdated = 0
        self.deletions = 0

    @property
    def changes(self) -> int:
        """Edits and deletions."""
        return self.edits + self.deletions

    def add_message(self, message: EditedMessage, text: str, *, edited_by: str = "") -> None:
        """Note that a message came; ``edited_by`` is the edit that waited for it, whose text counts."""
        self.raw.add(message.uid)
        self.messages[message.uid] = message
        message.text = text
        if edited_by:
            del self.refused[_quarantine_id(message, edited_by)]

    def add_edit(self, message: EditedMessage, edit_id: str, text: str, *, applies: bool = True) -> None:
        """An edit of a present message; one with an outdated revision does not apply."""
        self.raw.add(message.change_uid(edit_id))
        self.edits += 1
        self.outdated += not applies
        message.text = text if applies else message.text

    def add_refused_edit(self, message: EditedMessage, edit_id: str) -> None:
        """An edit of a message that is deleted, or has not come yet: it is named."""
        self.raw.add(message.change_uid(edit_id))
        self.edits += 1
        self.refused[_quarantine_id(message, edit_id)] = f"{message.subject}/{edit_id}"

    def add_deletion(self, message: EditedMessage, deletion_id: str) -> None:
        """A deletion or a redaction."""
        self.raw.add(message.change_uid(deletion_id))
        self.deletions += 1
        message.text = None

    def merge(self, ledger: EditLedger) -> None:
        """Add the ledger of another source."""
        self.messages |= ledger.messages
        self.raw |= ledger.raw
        self.refused |= ledger.refused
        self.edits += ledger.edits
        self.outdated += ledger.outdated
        self.deletions += ledger.deletions


class Edits:
    """The sources, each in a thread of its own, until they sent so many edits and deletions."""

    def __init__(self, stack: Broken, pace_s: float, limit: int, seed: int = 1) -> None:
        self._pace_s = pace_s
        self._limit = limit
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._editors = [Editor(stack.client(), name, random.Random(f"{seed}/{name}")) for name in EDITORS]
        self._threads = [threading.Thread(target=self._send, args=(editor,), daemon=True) for editor in self._editors]

    @property
    def ledger(self) -> EditLedger:
        """Ledger of all sources together."""
        total = EditLedger()
        for editor in self._editors:
            total.merge(editor.ledger)
        return total

    def start(self) -> None:
        """Let them send."""
        for thread in self._threads:
            thread.start()

    def stop(self, within_s: float = 1200.0) -> None:
        """Send no more; raises what stopped a source before."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=within_s)
        if any(thread.is_alive() for thread in self._threads):
            raise TimeoutError("a source of edits still waits for its acknowledgement")
        if self._failures:
            raise self._failures[0]

    def _count_changes(self) -> int:
        return sum(editor.ledger.changes for editor in self._editors)

    def _send(self, editor: Editor) -> None:
        try:
            with editor.client:
                for _ in editor.steps():
                    if self._count_changes() >= self._limit or self._stop.wait(self._pace_s):
                        return
        except BaseException as error:  # noqa: BLE001 - raised where the sources are stopped
            self._failures.append(error)


class Editor:
    """One source; each step is one event, acknowledged before the next one."""

    def __init__(self, client: GatewayClient, source: str, chance: random.Random) -> None:
        self.client = client
        self.ledger = EditLedger()
        self._source = source
        self._chance = chance
        self._counts_revisions = EDITORS.index(source) % 2 == 0
        self._numbers = itertools.count(1)
        self._present: list[EditedMessage] = []
        self._deleted: list[EditedMessage] = []
        self._awaited: list[tuple[int, EditedMessage, str, str]] = []

    def steps(self) -> Iterator[str]:
        """Send one event after the other; yields the kind of each, without end."""
        kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
        for number in itertools.count():
            if self._awaited and number >= self._awaited[0][0]:
                self._send_awaited()
                yield "awaited"
            kind = self._chance.choices(kinds, weights)[0]
            if not self._present or (kind == "late" and not self._deleted):
                kind = "message"
            if kind == "outdated" and not self._counts_revisions:
                kind = "edit"
            self._step(kind, number)
            yield kind

    def _step(self, kind: str, number: int) -> None:
        if kind == "message":
            message = self._next_message()
            self._post(message, message.write(self._chance))
            self.ledger.add_message(message, message.texts[0])
            self._present.append(message)
        elif kind == "early":
            self._edit_early(self._next_message(), number)
        elif kind == "repeat":
            message = self._chance.choice(self._present)
            self._post(message, message.texts[0])
        elif kind == "delete":
            self._delete(self._present.pop(self._chance.randrange(len(self._present))))
        elif kind == "late":
            message = self._chance.choice(self._deleted)
            self.ledger.add_refused_edit(message, self._edit(message, message.write(self._chance)))
        else:
            message = self._chance.choice(self._present)
            # A message that was never edited has no revision: every edit of it counts.
            applies = kind == "edit" or not message.revision
            text = message.write(self._chance)
            self.ledger.add_edit(message, self._edit(message, text, outdated=not applies), text, applies=applies)

    def _next_message(self) -> EditedMessage:
        number = next(self._numbers)
        return EditedMessage(self._source, str(number // MESSAGES + 1), str(number))

    def _edit_early(self, message: EditedMessage, number: int) -> None:
        first, text = message.write(self._chance), message.write(self._chance)
        edit_id = self._edit(message, text)
        self.ledger.add_refused_edit(message, edit_id)
        self._awaited.append((number + _AWAITED_STEPS, message, edit_id, first))

    def _send_awaited(self) -> None:
        _, message, edit_id, first = self._awaited.pop(0)
        self._post(message, first)
        self.ledger.add_message(message, message.texts[-1], edited_by=edit_id)
        self._present.append(message)

    def _post(self, message: EditedMessage, text: str) -> None:
        self.client.chat(
            conversation_id=message.conversation,
            subject_id=message.subject,
            role="customer",
            text=text,
            event_id=message.event_id,
            source=message.source,
        )

    def _edit(self, message: EditedMessage, text: str, *, outdated: bool = False) -> str:
        """Send an edit; returns its id. An outdated one has a revision below that of the present text."""
        edit_id = f"{message.event_id}-text-{len(message.texts)}"
        if not outdated:
            message.revision += 2
        self.client.edit_chat(
            message.event_id,
            conversation_id=message.conversation,
            subject_id=message.subject,
            text=text,
            revision=message.revision - outdated if self._counts_revisions else None,
            event_id=edit_id,
            source=message.source,
        )
        return edit_id

    def _delete(self, message: EditedMessage) -> None:
        deletion_id = f"{message.event_id}-end"
        self.client.delete_chat(
            message.event_id,
            conversation_id=message.conversation,
            subject_id=message.subject,
            redact=self._chance.random() < _REDACTED_SHARE,
            event_id=deletion_id,
            source=message.source,
        )
        self.ledger.add_deletion(message, deletion_id)
        self._deleted.append(message)


def passage_texts(text: str) -> list[str]:
    """Texts of the passages of a text that has nothing to be redacted."""
    return [text[start:end] for start, end in passage_spans(text)]


def _quarantine_id(message: EditedMessage, event_id: str) -> str:
    return artifact_id("quarantined", message.change_uid(event_id), 0)
