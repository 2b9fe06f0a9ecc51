"""Reads the records of a chat in CSV: any delimiter that spreadsheets write, quotes, line breaks within a field.

An unclosed quote makes one field of everything after it. Its intended end is unknown, and a guess could attribute text
to the wrong speaker: these lines are rejected together, and the rejection gives their range and number.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, TextIO

from mmplatform.sources.files.chat_columns import COLUMNS, ColumnMap, map_columns, printable_names
from mmplatform.sources.files.chat_lines import (
    MAX_LINE_CHARS,
    TOO_LONG,
    ChatLine,
    is_undecodable,
    not_decodable,
    read_lines,
)

DELIMITERS: Final = (",", ";", "\t", "|")
_EXCEL_DELIMITER: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


def read_table(file: TextIO, encoding: str) -> Iterator[ChatLine]:
    """Read the records below the header, each by its column's name; an unusable header rejects the file."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_CHARS))
    lines = read_lines(file)
    head, delimiter = _detect_delimiter(lines)
    columns: ColumnMap | None = None
    header: list[str] = []
    for first, last, cells in _records(chain(head, lines), delimiter):
        if isinstance(cells, str):
            yield ChatLine(first, last, cells)
        elif columns is None:
            header = [cell.strip() for cell in cells]
            columns = map_columns(tuple(header))
            error = _header_error(columns)
            if error:
                yield ChatLine(first, last, error)
                return
        else:
            yield ChatLine(first, last, _row(header, cells, encoding))


def has_chat_header(line: str) -> bool:
    """True for the first line of a chat in CSV, with any delimiter."""
    return _columns(line, _best_delimiter(line)).has_messages


def _row(header: list[str], cells: list[str], encoding: str) -> dict[str, str] | str:
    if any(cells[len(header) :]) or len(cells) < len(header):
        return f"{len(cells)} fields where the header has {len(header)}"
    if any(is_undecodable(cell) for cell in cells):
        return not_decodable(encoding)
    return {name: cell for name, cell in zip(header, cells, strict=False) if cell != ""}


def _detect_delimiter(lines: Iterator[str]) -> tuple[list[str], str]:
    """Read lines up to the header: these lines (Excel's own line is blanked, so that it counts), and the delimiter."""
    head: list[str] = []
    stated = ""
    for line in lines:
        found = _EXCEL_DELIMITER.fullmatch(line)
        if found and not stated:
            stated = found[1]
            head.append("\n")
            continue
        head.append(line)
        if line.strip():
            return head, stated or _best_delimiter(line)
    return head, stated or DELIMITERS[0]


def _best_delimiter(header: str) -> str:
    """The delimiter with which the header names the most columns."""
    return max(DELIMITERS, key=lambda delimiter: len(_columns(header, delimiter).fields))


def _columns(header: str, delimiter: str) -> ColumnMap:
    try:
        cells = next(csv.reader([header], delimiter=delimiter), [])
    except csv.Error:
        cells = []
    return map_columns(tuple(cell.strip() for cell in cells))


def _records(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, int, list[str] | str]]:
    """First line, last line, and the fields of each record of a CSV, or the reason of its rejection."""
    last, too_long = 0, False

    def counted() -> Iterator[str]:
        nonlocal last, too_long
        for line in lines:
            last += 1
            too_long = too_long or len(line) > MAX_LINE_CHARS
            yield line

    reader = csv.reader(counted(), delimiter=delimiter, strict=True)
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
            yield first, last, TOO_LONG
        elif cells:
            yield first, last, cells


def _header_error(columns: ColumnMap) -> str:
    if columns.repeated:
        return f"the column {printable_names(columns.repeated)} stands twice in the first line: rename one of them"
    missing = sorted({"role", "text"} - set(columns.fields.values()))
    if not missing:
        return ""
    names = " and ".join(missing)
    return f"the first line names no column {names}: it must name the columns, of which {', '.join(COLUMNS)} are read"
