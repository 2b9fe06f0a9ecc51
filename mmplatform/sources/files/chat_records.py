"""Chats in files: JSON Lines, or CSV with a header; a line that is wrong is named and the others are taken.

Columns (JSON: fields of each line's object): ``conversation_id``, ``subject_id``, ``role`` (customer, agent, bot or
system) and ``text`` are needed, where ``conversation_id`` and ``subject_id`` may also be given for the whole file;
``event_time`` (ISO 8601 with its zone, or Unix seconds; else the file's own), ``event_id`` and ``source`` are optional.
No other columns.

A quote in a CSV that is not closed makes one field of all that follows. Where it was meant to end cannot be told, and a
guess would put words into somebody's mouth: these lines are refused together, and the refusal says which and how many.
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
from mmplatform.sources.files.discovery import NO_TIME, Origin, Refusal, Work, content_id
from mmplatform.web.validation import invalid

_LONGEST_LINE: Final = 2_000_000
COLUMNS: Final = tuple(ChatBody.model_fields)
_TOO_LONG: Final = f"longer than {_LONGEST_LINE} characters"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChatLine:
    """A message, and the line (from 1) where it begins."""

    line: int
    body: ChatBody


class ChatFile:
    """The messages of a file, each with an event id, in the file's order.

    A message without an id gets one from what it says and how often the same was said before it in this file, so that
    the same file always gives the same ids. ``bytes_read`` says how far the reading is.
    """

    def __init__(self, work: Work, origin: Origin) -> None:
        self.bytes_read = 0
        self._work = work
        self._origin = origin
        self._seen: Counter[str] = Counter()

    def __iter__(self) -> Iterator[ChatLine | Refusal]:
        """Read it from its beginning; what is wrong is among what it gives, and never raised."""
        self._seen.clear()
        try:
            for line, row in self._csv() if self._work.media_type == "text/csv" else self._json():
                yield row if isinstance(row, Refusal) else self._message(line, row)
        except OSError as error:
            yield Refusal(self._work.path, None, f"it cannot be read: {error.strerror}")
        self.bytes_read = self._work.size

    def _message(self, line: int, row: Row) -> ChatLine | Refusal:
        said = {name: value for name, value in row.items() if value is not None}
        defaults = {
            "subject_id": self._origin.subject_id,
            "conversation_id": self._origin.conversation_id,
            "event_time": self._origin.at or self._work.written_at,
            "source": self._origin.source,
        }
        filled = {name: value for name, value in defaults.items() if value is not None} | said
        if "event_time" not in filled:
            return self._refused(line, NO_TIME)
        try:
            body = ChatBody.model_validate(filled)
        except ValidationError as error:
            wrong = invalid(error).errors
            return self._refused(line, "; ".join(f"{each['field']}: {each['detail']}" for each in wrong))
        if body.event_id is None:
            body = body.model_copy(update={"event_id": self._event_id(body, own_time="event_time" in said)})
        return ChatLine(line, body)

    def _event_id(self, body: ChatBody, *, own_time: bool) -> str:
        # The line's own time tells two equal texts apart; a time given for the whole file does not.
        moment = body.event_time.isoformat() if isinstance(body.event_time, datetime) and own_time else ""
        said = content_id("chat", body.conversation_id, body.subject_id, body.role, body.text, moment)
        self._seen[said] += 1
        return said if self._seen[said] == 1 else f"{said}-{self._seen[said]}"

    def _refused(self, line: int, reason: str, *, last: int | None = None) -> Refusal:
        if last is None or last == line:
            return Refusal(self._work.path, line, reason)
        return Refusal(self._work.path, line, f"lines {line} to {last}: {reason}", lines=last - line + 1)

    def _json(self) -> Iterator[tuple[int, Row | Refusal]]:
        with self._work.path.open("rb") as file:
            for number, line in enumerate(_lines(file), start=1):
                self.bytes_read = file.tell()
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if len(line) > _LONGEST_LINE:
                    yield number, self._refused(number, _TOO_LONG)
                elif text.strip():
                    yield number, self._json_row(number, text)

    def _json_row(self, number: int, text: bytes) -> Row | Refusal:
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            return self._refused(number, "no JSON (in UTF-8)")
        return row if isinstance(row, dict) else self._refused(number, "no JSON object")

    def _csv(self) -> Iterator[tuple[int, Row | Refusal]]:
        # Bytes that are no UTF-8 become lone surrogates, which the record refuses: only their line is lost.
        with (
            self._work.path.open("rb") as raw,
            TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
        ):
            csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))
            header: list[str] | None = None
            for first, last, cells in _records(file):
                self.bytes_read = raw.tell()
                if isinstance(cells, str):
                    yield first, self._refused(first, cells, last=last)
                elif header is None:
                    header = [cell.strip() for cell in cells]
                    wrong = _wrong_header(header)
                    if wrong:
                        yield first, self._refused(first, wrong)
                        return
                elif len(cells) != len(header):
                    wrong = f"{len(cells)} fields where the header has {len(header)}"
                    yield first, self._refused(first, wrong, last=last)
                else:
                    yield first, {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}


def _records(file: TextIO) -> Iterator[tuple[int, int, list[str] | str]]:
    """First line, last line, and the fields of each record of a CSV; in their place what is wrong with it."""
    last, too_long = 0, False

    def counted() -> Iterator[str]:
        nonlocal last, too_long
        for line in _lines(file):
            last += 1
            too_long = too_long or len(line) > _LONGEST_LINE
            yield line

    reader = csv.reader(counted(), strict=True)
    while True:
        first, too_long = last + 1, False
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield first, last, "no CSV: a quote that is not closed or not doubled, or a field that is too long"
            continue
        if too_long:
            yield first, last, _TOO_LONG
        elif cells:
            yield first, last, cells


def _lines(file: IO[AnyStr]) -> Iterator[AnyStr]:
    """Lines; of one that is too long only the beginning, so that no file is read into memory whole."""
    while line := file.readline(_LONGEST_LINE + 1):
        rest = line
        while rest and rest[-1:] not in {b"\n", "\n", "\r"}:
            rest = file.readline(_LONGEST_LINE)
        yield line


def _wrong_header(header: list[str]) -> str:
    known = ", ".join(COLUMNS)
    if len(set(header)) != len(header) or not set(header) <= set(COLUMNS):
        return f"the first line must name the columns, each of them one of {known}"
    missing = {"role", "text"} - set(header)
    return f"the columns {', '.join(sorted(missing))} are missing; known are {known}" if missing else ""
