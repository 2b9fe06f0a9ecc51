"""A reading of a pasted table in which each value comes after the header of its column.

``name;cvv`` over ``Dana Whitfield;123`` reads ``name: Dana Whitfield`` and ``cvv: 123``, one a line, so that the
finders of labelled values need to know no table. Rows of text with a delimiter, of Markdown and of HTML are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from mmplatform.derive.pii.context import follows_thing
from mmplatform.derive.pii.normalise import RewrittenText, to_plain

_DELIMITERS: Final = "\t;|,"
_RULE: Final = re.compile(r"[\s|:+=\-]+")
"""The line of dashes below a header in Markdown."""

_HTML_ROW: Final = re.compile(r"<tr\b[^<>]{0,200}>(?P<row>.{0,4000}?)</tr>", re.IGNORECASE | re.DOTALL)
_HTML_CELL: Final = re.compile(r"<t[dh]\b[^<>]{0,200}>(?P<cell>[^<>]{0,400})</t[dh]>", re.IGNORECASE)
_HEADER: Final = re.compile(r"(?!\d)(?=[^\n]*[^\W\d_])[^\n]{1,40}")
_NUMBER: Final = re.compile(r"\d{2}")
_CELL: Final = re.compile(r"[\s\S]+")
_MAX_HEADER_WORDS: Final = 5
_MIN_COLUMNS: Final = 2
_MAX_CELLS: Final = 2_000

Cell = tuple[int, int]
"""Start and end of a cell, without the spaces and quotes around it."""


def with_headers(text: str) -> RewrittenText | None:
    """Rewrite the tables of a text as ``header: value`` lines; ``None`` when it has none."""
    if "\n" not in text and "<tr" not in text.lower():
        return None
    reading = RewrittenText()
    for header, cell in _labelled_cells(text):
        reading.write(f"{header}: ", cell[0], cell[0])
        content = _CELL.match(text, *cell)
        if content:
            reading.copy(content)
        reading.write("\n", cell[1], cell[1])
    if not reading.pieces:
        return None
    reading.pieces = [to_plain(reading.text)]
    return reading


def find_thing_cells(text: str) -> list[Cell]:
    """Find the cells below a header that names a thing (``Order``, ``Invoice no.``): its number is no telephone's."""
    if "\n" not in text and "<tr" not in text.lower():
        return []
    return [cell for header, cell in _labelled_cells(text) if follows_thing(f"{header}: ", len(header) + 2)]


def _labelled_cells(text: str) -> Iterator[tuple[str, Cell]]:
    """Yield each cell below a header, with the header."""
    count = 0
    for rows in (_html_rows(text), *(_delimited_rows(text, delimiter) for delimiter in _DELIMITERS)):
        headers: list[str] = []
        for row in rows:
            if len(row) != len(headers):
                cells = [text[start:end] for start, end in row]
                headers = cells if len(row) >= _MIN_COLUMNS and all(map(_may_be_header, cells)) else []
                continue
            for header, cell in zip(headers, row, strict=True):
                if cell[0] < cell[1] and count < _MAX_CELLS:
                    count += 1
                    yield header, cell


def _may_be_header(cell: str) -> bool:
    return bool(_HEADER.fullmatch(cell) and not _NUMBER.search(cell) and len(cell.split()) <= _MAX_HEADER_WORDS)


def _delimited_rows(text: str, delimiter: str) -> Iterator[list[Cell]]:
    """Yield the cells of each line; a line without the delimiter is a row of one cell, which ends a table."""
    if delimiter not in text:
        return
    start = 0
    for line in text.splitlines(keepends=True):
        content = line.rstrip("\r\n")
        if not _RULE.fullmatch(content):
            cells = _split(content, delimiter)
            if (
                delimiter == "|"
                and len(cells) > _MIN_COLUMNS
                and not any(content[slice(*cells[end])] for end in (0, -1))
            ):
                cells = cells[1:-1]
            yield [(start + first, start + last) for first, last in cells]
        start += len(line)


def _split(line: str, delimiter: str) -> list[Cell]:
    cells, first, quoted = [], 0, False
    for position, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == delimiter and not quoted:
            cells.append(_trim(line, first, position))
            first = position + 1
    return [*cells, _trim(line, first, len(line))]


def _trim(text: str, start: int, end: int) -> Cell:
    while start < end and text[start] in " \t\"'":
        start += 1
    while start < end and text[end - 1] in " \t\"'":
        end -= 1
    return start, end


def _html_rows(text: str) -> Iterator[Sequence[Cell]]:
    if "<tr" in text.lower():
        for row in _HTML_ROW.finditer(text):
            cells = _HTML_CELL.finditer(text, *row.span("row"))
            yield [_trim(text, *cell.span("cell")) for cell in cells]
