"""Reads the records of a chat in JSON: one object a line, an array of objects, or one object with its messages.

An object may be a message, or a conversation with a list of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TextIO

from mmplatform.sources.files.chat_columns import is_change, map_columns, nested_messages
from mmplatform.sources.files.chat_lines import (
    MAX_LINE_CHARS,
    TOO_LONG,
    ChatLine,
    is_undecodable,
    not_decodable,
    read_lines,
)

_BLOCK_CHARS: Final = 65_536
_MAX_DOCUMENT_CHARS: Final = 16_000_000
_NOT_AN_OBJECT: Final = "not a JSON object with the fields of a message"
_GAP: Final = " \t\r\n,"
_SEPARATORS: Final = _GAP + "\x1e"


def read_json(file: TextIO, encoding: str) -> Iterator[ChatLine]:
    """Read the records from the start of the file."""
    head = file.read(_BLOCK_CHARS)
    if head.lstrip().startswith("["):
        yield from _ArrayReader(file, head, encoding).read()
        return
    file.seek(0)
    if _starts_within_an_object(head):
        document = _parse(file.read(_MAX_DOCUMENT_CHARS))
        if isinstance(document, dict):
            yield from _messages(document, 1, encoding)
            return
        file.seek(0)
    for number, line in enumerate(read_lines(file), start=1):
        if len(line) > MAX_LINE_CHARS:
            yield ChatLine(number, number, TOO_LONG)
        elif is_undecodable(line):
            yield ChatLine(number, number, not_decodable(encoding))
        elif line.strip():
            # A record separator in front (RFC 7464), and a comma behind, as between the elements of an array.
            yield from _messages(_parse(line.strip(_SEPARATORS)), number, encoding)


def has_chat_records(head: str) -> bool:
    """True where the first record is a message, or a conversation with messages. ``head`` may be cut off anywhere."""
    text = head.lstrip().removeprefix("[").lstrip()
    try:
        row, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(row, dict):
        return False
    rows = nested_messages(row) or [row]
    return is_change(rows[0]) or map_columns(tuple(rows[0])).has_messages


def _starts_within_an_object(head: str) -> bool:
    """True where the first line is no complete value, as in a document that is written over many lines."""
    line = head.lstrip().split("\n", 1)[0]
    return line.startswith("{") and _parse(line) is None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _messages(row: Any, line: int, encoding: str, last: int = 0) -> Iterator[ChatLine]:
    last = last or line
    if row is None:
        yield ChatLine(line, last, f"not JSON in {encoding}: send one JSON object a line, or a JSON array of them")
    elif not isinstance(row, dict):
        yield ChatLine(line, last, _NOT_AN_OBJECT)
    else:
        for message in nested_messages(row) or [row]:
            yield ChatLine(line, last, message)


class _ArrayReader:
    """Reads the elements of an array one by one: the file is never in memory as a whole."""

    def __init__(self, file: TextIO, head: str, encoding: str) -> None:
        self._file = file
        self._encoding = encoding
        self._text = head
        self._position = 0
        self._line = 1
        self._complete = False
        self._decoder = json.JSONDecoder()

    def read(self) -> Iterator[ChatLine]:
        self._skip(" \t\r\n")
        self._position += 1  # the bracket
        while True:
            self._skip(_GAP)
            if self._position >= len(self._text):
                yield ChatLine(self._line, self._line, "the array is not closed: the file is cut off")
                return
            if self._text[self._position] == "]":
                self._position += 1
                self._skip(" \t\r\n")
                if self._position < len(self._text):
                    yield ChatLine(self._line, self._line, "text after the end of the array")
                return
            first = self._line
            found = self._next_element()
            if found is None:
                rest = first + self._text.count("\n", self._position) + sum(block.count("\n") for block in self._file)
                reason = f"not JSON in {self._encoding}, or {TOO_LONG}: the rest of the array is not read"
                yield ChatLine(first, rest, reason)
                return
            row, raw = found
            if is_undecodable(raw):
                yield ChatLine(first, self._line, not_decodable(self._encoding))
            else:
                yield from _messages(row if row is not None else (), first, self._encoding, self._line)

    def _next_element(self) -> tuple[Any, str] | None:
        while True:
            try:
                row, end = self._decoder.raw_decode(self._text, self._position)
            except (ValueError, RecursionError):
                end = 0
            # A number at the end of what was read may go on.
            if end and (end < len(self._text) or self._complete):
                raw = self._text[self._position : end]
                if len(raw) > MAX_LINE_CHARS:
                    return None
                self._line += raw.count("\n")
                self._position = end
                return row, raw
            if self._complete or len(self._text) - self._position > MAX_LINE_CHARS:
                return None
            self._read_more()

    def _skip(self, characters: str) -> None:
        while True:
            while self._position < len(self._text) and self._text[self._position] in characters:
                self._line += self._text[self._position] == "\n"
                self._position += 1
            if self._position < len(self._text) or self._complete:
                return
            self._read_more()

    def _read_more(self) -> None:
        # Twice as much each time: a long element is not parsed from its start for every block.
        unread = self._text[self._position :]
        more = self._file.read(max(_BLOCK_CHARS, len(unread)))
        self._complete = not more
        self._text, self._position = unread + more, 0
