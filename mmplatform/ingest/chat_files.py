"""Chats in files: JSON Lines, or CSV with a header; a line that is wrong is named and the others are taken.

Columns (JSON: fields of each line's object): ``conversation_id``, ``subject_id``, ``role`` (customer, agent, bot or
system) and ``text`` are needed, where ``conversation_id`` and ``subject_id`` may also be given for the whole file;
``event_time`` (ISO 8601 with its zone, or Unix seconds), ``event_id`` and ``source`` are optional. No other columns.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic import ValidationError

from mmplatform.ingest.files import Origin, Refusal, Work, content_id
from mmplatform.ingest.requests import ChatBody, invalid

_LONGEST_LINE: Final = 2_000_000
COLUMNS: Final = tuple(ChatBody.model_fields)
_CSV_FIELD: Final = _LONGEST_LINE


@dataclass(frozen=True, slots=True)
class ChatLine:
    """A message, and the line (from 1) where it begins."""

    line: int
    body: ChatBody


def read_chats(work: Work, origin: Origin) -> Iterator[ChatLine | Refusal]:
    """The messages of a file, each with an event id, in the file's order.

    A message without an id gets one from what it says and how often the same was said before it in this file, so that
    the same file always gives the same ids.
    """
    seen: Counter[str] = Counter()
    try:
        read = _csv_rows if work.media_type == "text/csv" else _json_rows
        rows: Iterator[tuple[int, Any]] = read(work.path)
        for line, row in rows:
            wrong = Refusal(work.path, line, row) if isinstance(row, str) else None
            yield wrong or _message(work.path, line, row, origin, seen)
    except OSError as error:
        yield Refusal(work.path, None, f"it cannot be read: {error.strerror}")


def _message(path: Path, line: int, row: dict[str, Any], origin: Origin, seen: Counter[str]) -> ChatLine | Refusal:
    defaults = {
        "subject_id": origin.subject_id,
        "conversation_id": origin.conversation_id,
        "event_time": origin.at,
        "source": origin.source,
    }
    filled = {name: value for name, value in defaults.items() if value is not None} | row
    try:
        body = ChatBody.model_validate(filled)
    except ValidationError as error:
        wrong = invalid(error).errors
        return Refusal(path, line, "; ".join(f"{each['field']}: {each['detail']}" for each in wrong))
    if body.event_id is None:
        body = body.model_copy(update={"event_id": _event_id(body, row, seen)})
    return ChatLine(line, body)


def _event_id(body: ChatBody, row: dict[str, Any], seen: Counter[str]) -> str:
    # The line's own time tells two equal texts apart; a time given for the whole file does not.
    own_time = body.event_time.isoformat() if isinstance(body.event_time, datetime) and row.get("event_time") else ""
    said = content_id("chat", body.conversation_id, body.subject_id, body.role, body.text, own_time)
    seen[said] += 1
    return said if seen[said] == 1 else f"{said}-{seen[said]}"


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with path.open("rb") as file:
        for number, line in _lines(file):
            if len(line) > _LONGEST_LINE:
                yield number, f"longer than {_LONGEST_LINE} bytes"
                continue
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                yield number, "no JSON (in UTF-8)"
                continue
            yield number, row if isinstance(row, dict) else "no JSON object"


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; of one that is too long only the beginning, so that no file is read into memory whole."""
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST_LINE)
        yield number, line


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    # Bytes that are no UTF-8 become lone surrogates, which the record refuses: only their line is lost.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        csv.field_size_limit(max(csv.field_size_limit(), _CSV_FIELD))
        reader = csv.reader(file, strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield line, "no CSV: a quote that is not closed, or a field that is too long"
                continue
            if not cells:
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                wrong = _wrong_header(header)
                if wrong:
                    yield line, wrong
                    return
                continue
            if len(cells) != len(header):
                yield line, f"{len(cells)} fields where the header has {len(header)}"
                continue
            yield line, {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}


def _wrong_header(header: list[str]) -> str:
    known = ", ".join(COLUMNS)
    if len(set(header)) != len(header) or not set(header) <= set(COLUMNS):
        return f"the first line must name the columns, each of them one of {known}"
    missing = {"role", "text"} - set(header)
    return f"the columns {', '.join(sorted(missing))} are missing; known are {known}" if missing else ""
