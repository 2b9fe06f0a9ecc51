"""Reads chats from JSON Lines, JSON or CSV; an invalid line is rejected by number, the others are read.

Columns (JSON: fields of an object): ``conversation_id``, ``subject_id``, ``role`` (customer, agent, bot or system) and
``text`` are required, where ``conversation_id`` and ``subject_id`` may also be given for the whole file; ``event_time``
(ISO 8601 with its zone, or Unix seconds; else the file's own), ``offset_s`` (seconds from the file's time),
``event_id`` and ``source`` are optional. Other columns are ignored, and a remark names them.

A record with ``kind`` chat_edited, chat_deleted or chat_redacted changes the message ``message_id``; ``revision`` is
optional, and only an edit has a ``text``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BufferedReader, TextIOWrapper
from typing import Any, Final

from pydantic import ValidationError

from mmplatform.ingest.schemas import AnyChatBody, ChatBody, EditBody, invalid_chat, parse_chat
from mmplatform.sources.files.chat_columns import OFFSET, ignored_names, normalise_fields, printable_names
from mmplatform.sources.files.chat_json import read_json
from mmplatform.sources.files.chat_lines import ChatLine, decoding_errors, detect_encoding, public_name
from mmplatform.sources.files.chat_tables import read_table
from mmplatform.sources.files.discovery import UNKNOWN_TIME, Rejection, SourceFile, UploadDefaults, content_id
from mmplatform.sources.files.file_kind import CSV

_HEAD_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """A message or a change, and the line (from 1) where it begins."""

    line: int
    body: AnyChatBody


class ChatFile:
    """Messages of a file, each with an event id, in the file's order.

    A message without an id gets one from its content and the number of equal messages before it in this file, so the
    same file always gives the same ids. ``bytes_read`` is the position of the reading.
    """

    def __init__(self, file: SourceFile, defaults: UploadDefaults) -> None:
        self.bytes_read = 0
        self._file = file
        self._defaults = defaults
        self._seen: Counter[str] = Counter()
        self._ignored: dict[str, None] = {}

    @property
    def remark(self) -> str:
        """Names of the columns that were ignored so far; empty for none."""
        return f"ignored columns: {printable_names(self._ignored)}" if self._ignored else ""

    def __iter__(self) -> Iterator[ChatRecord | Rejection]:
        """Read the file from its start; errors are yielded as rejections and never raised."""
        self._seen.clear()
        self._ignored.clear()
        encoding = "utf-8"
        try:
            with self._file.path.open("rb") as raw:
                encoding = detect_encoding(raw.read(_HEAD_BYTES))
                raw.seek(0)
                text = TextIOWrapper(raw, encoding, errors=decoding_errors(encoding), newline="")
                yield from self._read(raw, text)
        except UnicodeDecodeError:
            reason = f"it stops in the middle of a character, or is not {public_name(encoding)}: save it as UTF-8"
            yield Rejection(self._file.path, None, reason)
        except OSError as error:
            yield Rejection(self._file.path, None, f"it cannot be read: {error.strerror}")
        self.bytes_read = self._file.size

    def _read(self, raw: BufferedReader, file: TextIOWrapper) -> Iterator[ChatRecord | Rejection]:
        encoding = public_name(file.encoding)
        with file:
            read = read_table if self._file.media_type == CSV else read_json
            for line in read(file, encoding):
                self.bytes_read = max(self.bytes_read, raw.tell())
                yield self._message(line)

    def _message(self, line: ChatLine) -> ChatRecord | Rejection:
        if isinstance(line.content, str):
            return self._rejection(line, line.content)
        self._ignored |= dict.fromkeys(ignored_names(line.content))
        present = {name: value for name, value in normalise_fields(line.content).items() if value is not None}
        defaults = {
            "subject_id": self._defaults.subject_id,
            "conversation_id": self._defaults.conversation_id,
            "event_time": self._defaults.event_time or self._file.written_at,
            "source": self._defaults.source,
        }
        offset = present.pop(OFFSET, None)
        filled = {name: value for name, value in defaults.items() if value is not None} | present
        if "event_time" not in filled:
            return self._rejection(line, UNKNOWN_TIME)
        if offset is not None and "event_time" not in present:
            shifted = _shift(filled["event_time"], offset)
            if shifted is None:
                return self._rejection(line, f"{OFFSET} must be a number of seconds, within the calendar")
            filled["event_time"] = shifted
        try:
            body = parse_chat(filled)
        except ValidationError as error:
            errors = invalid_chat(error).errors
            return self._rejection(line, "; ".join(f"{found['field']} {found['detail']}" for found in errors))
        if body.event_id is None:
            time = body.event_time.isoformat() if body.event_time is not None and "event_time" in present else ""
            body = body.model_copy(update={"event_id": self._event_id(body, time or f"{offset or ''}")})
        return ChatRecord(line.first, body)

    def _event_id(self, body: AnyChatBody, time: str) -> str:
        # The line's own time distinguishes equal texts; a time given for the whole file does not.
        if isinstance(body, ChatBody):
            content: tuple[str, ...] = ("chat", body.conversation_id, body.subject_id, body.role, body.text, time)
        else:
            text = body.text if isinstance(body, EditBody) else ""
            content = (
                body.kind,
                body.conversation_id,
                body.subject_id,
                body.message_id,
                f"{body.revision}",
                text,
                time,
            )
        event_id = content_id(*content)
        self._seen[event_id] += 1
        return event_id if self._seen[event_id] == 1 else f"{event_id}-{self._seen[event_id]}"

    def _rejection(self, line: ChatLine, reason: str) -> Rejection:
        if line.last == line.first:
            return Rejection(self._file.path, line.first, reason)
        numbered = f"lines {line.first} to {line.last}: {reason}"
        return Rejection(self._file.path, line.first, numbered, lines=line.last - line.first + 1)


def _shift(moment: datetime, offset: Any) -> datetime | None:
    try:
        seconds = float(offset)
        return moment + timedelta(seconds=seconds) if math.isfinite(seconds) else None
    except (TypeError, ValueError, OverflowError):
        return None
