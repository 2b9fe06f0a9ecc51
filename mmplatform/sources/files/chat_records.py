"""Reads chats from JSON Lines, or CSV with a header; an invalid line is rejected by number, the others are read.

Columns (JSON: fields of each line's object): ``conversation_id``, ``subject_id``, ``role`` (customer, agent, bot or
system) and ``text`` are required, where ``conversation_id`` and ``subject_id`` may also be given for the whole file;
``event_time`` (ISO 8601 with its zone, or Unix seconds; else the file's own), ``event_id`` and ``source`` are optional.
Other columns are refused.

An unclosed quote in a CSV makes one field of everything after it. Its intended end is unknown, and a guess could
attribute text to the wrong speaker: these lines are rejected together, and the rejection gives their range and number.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from typing import IO, Any, AnyStr, Final, TextIO

from pydantic import ValidationError

from mmplatform.ingest.schemas import ChatBody
from mmplatform.sources.files.discovery import UNKNOWN_TIME, Rejection, SourceFile, UploadDefaults, content_id
from mmplatform.web.validation import invalid_request

_MAX_LINE_CHARS: Final = 2_000_000
COLUMNS: Final = tuple(ChatBody.model_fields)
_TOO_LONG: Final = f"longer than {_MAX_LINE_CHARS} characters"
ChatFields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """A message, and the line (from 1) where it begins."""

    line: int
    body: ChatBody


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

    def __iter__(self) -> Iterator[ChatRecord | Rejection]:
        """Read the file from its start; errors are yielded as rejections and never raised."""
        self._seen.clear()
        try:
            for line, row in self._csv() if self._file.media_type == "text/csv" else self._json():
                yield row if isinstance(row, Rejection) else self._message(line, row)
        except OSError as error:
            yield Rejection(self._file.path, None, f"it cannot be read: {error.strerror}")
        self.bytes_read = self._file.size

    def _message(self, line: int, row: ChatFields) -> ChatRecord | Rejection:
        present = {name: value for name, value in row.items() if value is not None}
        defaults = {
            "subject_id": self._defaults.subject_id,
            "conversation_id": self._defaults.conversation_id,
            "event_time": self._defaults.event_time or self._file.written_at,
            "source": self._defaults.source,
        }
        filled = {name: value for name, value in defaults.items() if value is not None} | present
        if "event_time" not in filled:
            return self._rejection(line, UNKNOWN_TIME)
        try:
            body = ChatBody.model_validate(filled)
        except ValidationError as error:
            errors = invalid_request(error).errors
            return self._rejection(line, "; ".join(f"{found['field']}: {found['detail']}" for found in errors))
        if body.event_id is None:
            body = body.model_copy(update={"event_id": self._event_id(body, own_time="event_time" in present)})
        return ChatRecord(line, body)

    def _event_id(self, body: ChatBody, *, own_time: bool) -> str:
        # The line's own time distinguishes equal texts; a time given for the whole file does not.
        time = body.event_time.isoformat() if isinstance(body.event_time, datetime) and own_time else ""
        event_id = content_id("chat", body.conversation_id, body.subject_id, body.role, body.text, time)
        self._seen[event_id] += 1
        return event_id if self._seen[event_id] == 1 else f"{event_id}-{self._seen[event_id]}"

    def _rejection(self, line: int, reason: str, *, last: int | None = None) -> Rejection:
        if last is None or last == line:
            return Rejection(self._file.path, line, reason)
        return Rejection(self._file.path, line, f"lines {line} to {last}: {reason}", lines=last - line + 1)

    def _json(self) -> Iterator[tuple[int, ChatFields | Rejection]]:
        with self._file.path.open("rb") as file:
            for number, line in enumerate(_lines(file), start=1):
                self.bytes_read = file.tell()
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if len(line) > _MAX_LINE_CHARS:
                    yield number, self._rejection(number, _TOO_LONG)
                elif text.strip():
                    yield number, self._json_row(number, text)

    def _json_row(self, number: int, text: bytes) -> ChatFields | Rejection:
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            return self._rejection(number, "not JSON (in UTF-8)")
        return row if isinstance(row, dict) else self._rejection(number, "not a JSON object")

    def _csv(self) -> Iterator[tuple[int, ChatFields | Rejection]]:
        # Invalid UTF-8 becomes lone surrogates, which the record refuses: only their line is lost.
        with (
            self._file.path.open("rb") as raw,
            TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
        ):
            csv.field_size_limit(max(csv.field_size_limit(), _MAX_LINE_CHARS))
            header: list[str] | None = None
            for first, last, cells in _records(file):
                self.bytes_read = raw.tell()
                if isinstance(cells, str):
                    yield first, self._rejection(first, cells, last=last)
                elif header is None:
                    header = [cell.strip() for cell in cells]
                    header_error = _header_error(header)
                    if header_error:
                        yield first, self._rejection(first, header_error)
                        return
                elif len(cells) != len(header):
                    reason = f"{len(cells)} fields where the header has {len(header)}"
                    yield first, self._rejection(first, reason, last=last)
                else:
                    yield first, {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}


def _records(file: TextIO) -> Iterator[tuple[int, int, list[str] | str]]:
    """First line, last line, and the fields of each record of a CSV, or the reason of its rejection."""
    last, too_long = 0, False

    def counted() -> Iterator[str]:
        nonlocal last, too_long
        for line in _lines(file):
            last += 1
            too_long = too_long or len(line) > _MAX_LINE_CHARS
            yield line

    reader = csv.reader(counted(), strict=True)
    while True:
        first, too_long = last + 1, False
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield first, last, "not CSV: a quote that is not closed or not doubled, or a field that is too long"
            continue
        if too_long:
            yield first, last, _TOO_LONG
        elif cells:
            yield first, last, cells


def _lines(file: IO[AnyStr]) -> Iterator[AnyStr]:
    """Lines; a line that is too long is cut, so that a file is never read into memory as a whole."""
    while line := file.readline(_MAX_LINE_CHARS + 1):
        rest = line
        while rest and rest[-1:] not in {b"\n", "\n", "\r"}:
            rest = file.readline(_MAX_LINE_CHARS)
        yield line


def _header_error(header: list[str]) -> str:
    columns = ", ".join(COLUMNS)
    if len(set(header)) != len(header) or not set(header) <= set(COLUMNS):
        return f"the first line must name the columns, each of them one of {columns}"
    missing = {"role", "text"} - set(header)
    return f"the columns {', '.join(sorted(missing))} are missing; valid are {columns}" if missing else ""
