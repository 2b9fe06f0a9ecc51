"""Memory of a conversation: of each recent message where its present text lies, and whether it was deleted.

It has no text: keyed digests of subjects, roles, times and positions on the log. Each message has an entry
of its own, so that a long conversation writes no more than a short one. What is forgotten follows from the events alone
(a number of messages, a time of silence), so that a replay forgets the same. A changed message is never forgotten: when
its source repeats it, its old text must not come back. Neither is one of which a part was given away.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol, TypeVar

from pydantic import ValidationError

from mmplatform.derive.pii.edges import Edges
from mmplatform.derive.pii.replacement import Span
from mmplatform.events import ChatEdited, ChatEvent, ChatMessage, Event, LogRecordBase, Position, Record, UtcDatetime

MEMORY_VERSION: Final = 1
"""Version of the stored entries. An entry of another version does not count: its message is unknown."""

MAX_MESSAGES: Final = 4096
"""Unchanged messages of one conversation; each has about 300 bytes. The first ones are forgotten first."""

RETENTION: Final = timedelta(days=30)
"""Unchanged messages of a conversation that was silent for longer are forgotten."""

MAX_RECENT: Final = 40
"""Messages of a conversation, of all speakers, among which the neighbours of a message are looked for."""

MAX_TEXT_CHARS: Final = 4_000_000
"""Characters of texts that a process remembers, 16 MB at the most: of five minutes at 60 chats a second. Others are
read from the log again."""

HEAD_NAME: Final = "head"
_DIGEST_HEX: Final = 16
_MAX_EDITS: Final = 16
"""Edits of a message whose repetition is known as such."""

R = TypeVar("R", bound=Record)
MessageStatus = Literal["live", "awaited", "deleted", "redacted"]


class ConversationHead(LogRecordBase):
    """Number of messages so far, and the time of the last event."""

    v: Literal[1] = MEMORY_VERSION
    count: int = 0
    last_at: UtcDatetime


class MessageEntry(LogRecordBase):
    """One message. ``awaited``: a change came, the message did not.

    Attributes:
        text_at: generation, topic partition and offset of the event whose text counts; while awaited, of the change.
        event_id: of the edit whose text counts; empty for the message's own text.
        passages: how many passages its present text has.
        max_passages: how many it can have where a run derived it with another redactor.
        edits: digests of its last edits, the newest last.
        edges: where its text has a part of a value.
        joint: personal data that only a reading with its neighbours finds, in characters of its text.
        completed_by: id of the later message that gave some of that away.
    """

    v: Literal[1] = MEMORY_VERSION
    status: MessageStatus
    subject: str
    text_at: tuple[int, int, int]
    event_id: str = ""
    revision: int | None = None
    role: str = ""
    event_time: UtcDatetime | None = None
    passages: int = 0
    max_passages: int = 0
    edits: tuple[str, ...] = ()
    edges: Edges = ""
    joint: tuple[Span, ...] = ()
    completed_by: str = ""

    @property
    def ordinals(self) -> range:
        """Ordinals that its passages may have."""
        return range(max(self.passages, self.max_passages))

    @property
    def change_ids(self) -> tuple[str, ...]:
        """Ids of the events beside its own of which its present text was made."""
        return tuple(filter(None, (self.event_id, self.completed_by)))

    @property
    def is_changed(self) -> bool:
        """True when its own text does not count, may not when it comes, or has what only its neighbours gave away."""
        return self.status != "live" or bool(self.event_id) or bool(self.joint)


class MemoryStore(Protocol):
    """Values by conversation and name, on the topic partition of the conversation."""

    def get(self, conversation: str, name: str, topic_partition: int) -> Any:
        """The value; None: there is none."""

    def set(self, conversation: str, name: str, topic_partition: int, value: Any) -> None:
        """Store a value, which is JSON."""

    def delete(self, conversation: str, name: str, topic_partition: int) -> None:
        """Delete a value."""


class InMemoryStore:
    """Store of one process: that of a reprocessing run."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], Any] = {}

    def get(self, conversation: str, name: str, topic_partition: int) -> Any:  # noqa: ARG002 - the protocol's
        """The value; None: there is none."""
        return self._values.get((conversation, name))

    def set(self, conversation: str, name: str, topic_partition: int, value: Any) -> None:  # noqa: ARG002
        """Store a value."""
        self._values[conversation, name] = value

    def delete(self, conversation: str, name: str, topic_partition: int) -> None:  # noqa: ARG002
        """Delete a value."""
        self._values.pop((conversation, name), None)

    def __len__(self) -> int:
        return len(self._values)


ReadEvent = Callable[[Position], Event | None]
"""The event at a position of the log; None: it is no longer there."""


class ChatMemory:
    """Memory of a fold.

    Args:
        store: its values.
        read_event: reads the log.
        key: of its digests.
        forgets: False for a run, which has the rows of its conversations at once and applies every change to them.
    """

    def __init__(self, store: MemoryStore, read_event: ReadEvent, *, key: bytes = b"", forgets: bool = True) -> None:
        self.store = store
        self.read_event = read_event
        self.forgets = forgets
        self._key = key
        self._texts: OrderedDict[Position, ChatMessage | ChatEdited] = OrderedDict()
        self._text_chars = 0

    def remember(self, event: ChatMessage | ChatEdited, position: Position) -> None:
        """Remember the event of a text in this process: a message that comes soon may be read together with it."""
        if position in self._texts:
            return
        self._texts[position] = event
        self._text_chars += len(event.text)
        while self._text_chars > MAX_TEXT_CHARS:
            _, oldest = self._texts.popitem(last=False)
            self._text_chars -= len(oldest.text)

    def read_text(self, position: Position) -> Event | None:
        """Read the event of a text, remembered or on the log. Raises Unavailable."""
        event = self._texts.get(position) or self.read_event(position)
        if isinstance(event, ChatMessage | ChatEdited):
            self.remember(event, position)
        return event

    def digest(self, text: str) -> str:
        """Keyed digest, 16 hex digits: it identifies a text and does not give it away."""
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:_DIGEST_HEX]


class MemoryChanges:
    """Changes of a memory that are written all together, or not at all."""

    def __init__(self, memory: ChatMemory) -> None:
        self.memory = memory
        self._values: dict[tuple[str, str], tuple[int, Any]] = {}

    def message(self, event: ChatEvent, uid: str, position: Position) -> MessageEntry | None:
        """The entry of a message of the event's conversation."""
        entry = _parse(MessageEntry, self._get(event.conversation_key, uid, position.topic_partition))
        if entry is None or entry.is_changed or not self.memory.forgets:
            return entry
        head = parse_head(self._get(event.conversation_key, HEAD_NAME, position.topic_partition))
        return entry if head is not None and not is_expired(head, event.ingested_at) else None

    def put_message(self, event: ChatEvent, uid: str, position: Position, entry: MessageEntry) -> None:
        """Store the entry of a message; a new one takes the place of the first one, where the conversation is full."""
        key, number = event.conversation_key, position.topic_partition
        self._count_message(event, uid, key, number)
        self._set(key, uid, number, entry.model_dump(mode="json", exclude_defaults=True) | {"v": MEMORY_VERSION})

    def _count_message(self, event: ChatEvent, uid: str, key: str, number: int) -> None:
        head = parse_head(self._get(key, HEAD_NAME, number))
        if head is not None and self.memory.forgets and is_expired(head, event.ingested_at):
            self._clear(key, number, head)
            head = None
        head = head or ConversationHead(last_at=event.ingested_at)
        if self._get(key, uid, number) is None:
            slot = f"s{head.count % MAX_MESSAGES}"
            forgotten = self._get(key, slot, number) if self.memory.forgets else None
            if forgotten is not None and not _is_changed(self._get(key, forgotten, number)):
                self._set(key, forgotten, number, None)
            self._set(key, slot, number, uid)
            head = head.model_copy(update={"count": head.count + 1})
        head = head.model_copy(update={"last_at": max(head.last_at, event.ingested_at)})
        self._set(key, HEAD_NAME, number, head.model_dump(mode="json"))

    def recent(self, event: ChatEvent, position: Position) -> Iterator[tuple[int, str, MessageEntry]]:
        """Messages of the event's conversation, the newest of the log first, as far as one value can reach.

        The number of each grows in the order in which they first came, whatever changed them later.
        """
        key, number = event.conversation_key, position.topic_partition
        head = parse_head(self._get(key, HEAD_NAME, number))
        count = head.count if head is not None else 0
        for slot in range(count - 1, max(count - MAX_RECENT, 0) - 1, -1):
            uid = self._get(key, f"s{slot % MAX_MESSAGES}", number)
            entry = _parse(MessageEntry, self._get(key, uid, number)) if uid is not None else None
            if entry is not None:
                yield slot, uid, entry

    def commit(self) -> None:
        """Write the changes to the store."""
        store = self.memory.store
        for (key, name), (number, value) in self._values.items():
            if value is None:
                store.delete(key, name, number)
            else:
                store.set(key, name, number, value)
        self._values = {}

    def _clear(self, key: str, number: int, head: ConversationHead) -> None:
        for name in stored_names(lambda name: self._get(key, name, number), head):
            self._set(key, name, number, None)

    def _get(self, key: str, name: str, number: int) -> Any:
        if (key, name) in self._values:
            return self._values[key, name][1]
        return self.memory.store.get(key, name, number)

    def _set(self, key: str, name: str, number: int, value: Any) -> None:
        self._values[key, name] = (number, value)


def with_edit(edits: tuple[str, ...], digest: str) -> tuple[str, ...]:
    """Return the last edits of a message with a newer one."""
    return (*(earlier for earlier in edits if earlier != digest), digest)[-_MAX_EDITS:]


def parse_head(value: Any) -> ConversationHead | None:
    """Parse a stored head; None where there is none, or one of another release."""
    return _parse(ConversationHead, value)


def is_expired(head: ConversationHead, now: datetime) -> bool:
    """True when the conversation was silent for too long before this time."""
    return now - head.last_at > RETENTION


def stored_names(get: Callable[[str], Any], head: ConversationHead) -> list[str]:
    """Names of what is stored of a conversation, but for its changed messages."""
    slots = [f"s{number}" for number in range(min(head.count, MAX_MESSAGES))]
    uids = [uid for slot in slots if (uid := get(slot)) is not None and not _is_changed(get(uid))]
    return [HEAD_NAME, *slots, *uids]


def _is_changed(value: Any) -> bool:
    entry = _parse(MessageEntry, value)
    return entry is not None and entry.is_changed


def _parse(kind: type[R], value: Any) -> R | None:
    try:
        return None if value is None else kind.model_validate(value)
    except ValidationError:
        return None  # of another release
