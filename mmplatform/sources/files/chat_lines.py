"""Lines of a chat file in the encodings that exports have: UTF-8, UTF-16 and UTF-32, with or without a byte order mark.

Other encodings are not guessed: a wrong guess would change what was said without a trace.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, AnyStr, Final

MAX_LINE_CHARS: Final = 2_000_000
TOO_LONG: Final = f"longer than {MAX_LINE_CHARS} characters"
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MIN_ZERO_SHARE: Final = 0.4
"""Zeros in every second byte of UTF-16 without a mark: the names of columns and JSON's own characters are ASCII."""


@dataclass(frozen=True, slots=True)
class ChatLine:
    """A record of a file, from line ``first`` to ``last``: its fields as the file has them, or why it is rejected."""

    first: int
    last: int
    content: dict[str, Any] | str


def detect_encoding(head: bytes) -> str:
    """Name of the encoding, for ``open``, by the file's first bytes."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    even, odd = head[0::2], head[1::2]
    if odd and odd.count(0) > _MIN_ZERO_SHARE * len(odd) and not even.count(0):
        return "utf-16-le"
    if even and even.count(0) > _MIN_ZERO_SHARE * len(even) and not odd.count(0):
        return "utf-16-be"
    return "utf-8"


def public_name(encoding: str) -> str:
    """Name of the encoding for a message."""
    return encoding.removesuffix("-sig").removesuffix("-le").removesuffix("-be").upper()


def decoding_errors(encoding: str) -> str:
    """Error handler by which bytes that do not decode become lone surrogates: only their line is lost."""
    return "surrogateescape" if encoding.startswith("utf-8") else "surrogatepass"


def not_decodable(encoding: str) -> str:
    """Reason of a rejection, with the remedy."""
    return f"it has bytes that are not {encoding}: save the file as UTF-8 and send it again"


def is_undecodable(text: str) -> bool:
    """True where a lone surrogate stands for bytes that are not of the file's encoding."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def read_lines(file: IO[AnyStr]) -> Iterator[AnyStr]:
    """Lines; a line that is too long is cut, so that a file is never read into memory as a whole."""
    while line := file.readline(MAX_LINE_CHARS + 1):
        rest = line
        while rest and rest[-1:] not in {b"\n", "\n", "\r"}:
            rest = file.readline(MAX_LINE_CHARS)
        yield line
