"""Columns of a chat export: which of them the platform reads, under which names exports have them.

A column is found by its own name first, then by a synonym, without regard to case, spaces and punctuation. Any other
column is ignored, and the reader names it once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from mmplatform.ingest.schemas import ChatBody

OFFSET: Final = "offset_s"
"""Seconds from the file's time, as the sample case has them: a case without a date of its own."""

COLUMNS: Final = (*(name for name in ChatBody.model_fields if name != "kind"), OFFSET)
_SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "event_id": ("message_id", "msg_id", "id", "uuid", "guid"),
    "conversation_id": ("conversation", "chat_id", "thread_id", "session_id", "ticket_id", "channel_id", "thread"),
    "subject_id": ("subject", "customer_id", "contact_id", "client_id", "user_id", "visitor_id"),
    "role": ("sender_type", "author_type", "sender_role", "sender", "speaker", "author", "from"),
    "text": ("message_text", "message", "body", "content", "msg", "utterance"),
    "event_time": ("timestamp", "created_at", "sent_at", "datetime", "date_time", "time", "ts", "date"),
    "source": ("source_system", "system"),
}
CHANGE_KINDS: Final = ("chat_edited", "chat_deleted", "chat_redacted")
"""Values of the column ``kind`` with which a record changes a message; with any other value it is a message."""

_CHANGE_COLUMNS: Final = ("message_id", "revision")
_ROLES: Final[dict[str, tuple[str, ...]]] = {
    "customer": ("client", "user", "end user", "visitor", "guest", "caller", "consumer", "contact", "shopper", "buyer"),
    "agent": ("human agent", "operator", "representative", "rep", "support", "staff", "employee", "advisor", "adviser"),
    "bot": ("chatbot", "assistant", "ai", "virtual agent", "virtual assistant", "automation"),
    "system": (),
}
_ROLE_BY_WORD: Final = {word: role for role, words in _ROLES.items() for word in (role, *words)}
_ID_COLUMNS: Final = ("event_id", "message_id", "conversation_id", "subject_id")
_NESTED: Final = ("messages", "turns", "transcript", "conversation", "items", "events")
_WORD_BORDER: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS: Final = re.compile(r"[\W_]+")
_PLAIN_NAME: Final = re.compile(r"(?!.*\d{4})\w[\w .,/()-]{0,39}")
_MAX_NAMES: Final = 10


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """The columns of one header or record.

    Attributes:
        fields: name in the file → the platform's.
        ignored: names in the file that the platform does not read.
        repeated: the platform's names that stand twice under one name.
    """

    fields: Mapping[str, str]
    ignored: tuple[str, ...]
    repeated: tuple[str, ...]

    @property
    def has_messages(self) -> bool:
        """True for the columns of a chat: a role and a text."""
        return {"role", "text"} <= set(self.fields.values())


@lru_cache(maxsize=256)
def map_columns(names: tuple[str, ...]) -> ColumnMap:
    """Find the platform's columns among these names."""
    by_word: dict[str, list[str]] = {}
    for name in names:
        by_word.setdefault(_normalise(name), []).append(name)
    fields: dict[str, str] = {}
    repeated: list[str] = []
    for column in COLUMNS:
        for word in (column, *_SYNONYMS.get(column, ())):
            if word in by_word:
                fields[by_word[word][0]] = column
                if len(by_word[word]) > 1:
                    repeated.append(column)
                break
    return ColumnMap(fields, tuple(name for name in names if name not in fields), tuple(repeated))


def is_change(row: Mapping[str, Any]) -> bool:
    """True for a record that edits, deletes or redacts a message."""
    return row.get("kind") in CHANGE_KINDS


def normalise_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the platform reads, under its names: roles in its words, numeric ids as text.

    In a record of a change, ``message_id`` is the message's id, and not a synonym for its own.
    """
    changed: dict[str, Any] = {}
    if is_change(row):
        own = ("kind", *_CHANGE_COLUMNS)
        changed = {name: row[name] for name in own if name in row}
        row = {name: value for name, value in row.items() if name not in own}
    columns = map_columns(tuple(row))
    fields = {column: row[name] for name, column in columns.fields.items()} | changed
    if changed:
        fields.pop("role", None)
    role = fields.get("role")
    if isinstance(role, str):
        fields["role"] = _ROLE_BY_WORD.get(_SEPARATORS.sub(" ", role).strip().casefold(), role)
    for column in _ID_COLUMNS:
        if isinstance(fields.get(column), int) and not isinstance(fields[column], bool):
            fields[column] = str(fields[column])
    return fields


def nested_messages(row: Mapping[str, Any]) -> list[Any] | None:
    """The messages within the record of a conversation, each with the conversation's own ids; None for another one."""
    if "text" in map_columns(tuple(row)).fields.values():
        return None
    found = next((row[name] for name in row if _normalise(name) in _NESTED and isinstance(row[name], list)), None)
    if not found or not all(isinstance(message, dict) for message in found):
        return None
    outer = {name: value for name, value in row.items() if isinstance(value, str | int | float)}
    fields = normalise_fields(outer)
    # The id of a conversation's record is the conversation's; its role and time are no message's.
    shared = {name: fields[name] for name in ("conversation_id", "subject_id", "source") if name in fields}
    shared.setdefault("conversation_id", fields.get("event_id"))
    return [shared | normalise_fields(message) | _ignored(message) for message in found]


def printable_names(names: Iterable[str]) -> str:
    """Names of columns for a message; a file without a header has customers' texts in their place."""
    listed = [name.strip() if _PLAIN_NAME.fullmatch(name.strip()) else "(unnamed)" for name in names]
    shown = ", ".join(dict.fromkeys(listed[:_MAX_NAMES]))
    return f"{shown} and {len(listed) - _MAX_NAMES} more" if len(listed) > _MAX_NAMES else shown


def ignored_names(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Names that the platform does not read."""
    ignored = map_columns(tuple(row)).ignored
    if not is_change(row):
        return tuple(name for name in ignored if name != "kind" or row[name] != "chat_message")
    return tuple(name for name in ignored if name not in {"kind", *_CHANGE_COLUMNS})


def _ignored(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: message[name] for name in map_columns(tuple(message)).ignored}


def _normalise(name: str) -> str:
    return _SEPARATORS.sub("_", _WORD_BORDER.sub("_", name)).strip("_").casefold()
