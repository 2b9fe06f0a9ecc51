"""Other readings of a text whose spans lead back to it: exotic characters made plain, number words as digits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from mmplatform.derive.pii.vocabulary import FILLERS, HESITATIONS, TEENS, TENS, UNITS

_DASHES: Final = dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63), "-")
_SPACES: Final = dict.fromkeys((0x00A0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " ")
# Invisible characters count as a separator that may also stand inside an e-mail address.
_INVISIBLE: Final = dict.fromkeys((0x00AD, *range(0x200B, 0x2010), 0x2060, 0xFE0F, 0x20E3, 0xFEFF), "_")


class _Plain(dict[int, str]):
    """A translation table that is filled as characters are met: one character for one, so that offsets hold."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 (surrogates)
            plain = "\ufffd"
        else:
            plain = unicodedata.normalize("NFKC", character)
            digit = unicodedata.decimal(character, None)
            plain = str(digit) if digit is not None else plain if len(plain) == 1 else character
        self[code] = plain
        return plain


def plain(text: str) -> str:
    """The text with every digit as ASCII, dashes as ``-``, spaces as spaces; the same length as ``text``."""
    return text if text.isascii() else text.translate(_Plain(_DASHES | _SPACES | _INVISIBLE))


def without_surrogates(text: str) -> str:
    """Lone surrogates (half of an emoji) replaced, since they cannot be encoded; the same length as ``text``."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


@dataclass(slots=True)
class View:
    """A rewritten text; character ``i`` of it came from ``starts[i]:ends[i]`` of the original."""

    pieces: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The rewritten text."""
        return "".join(self.pieces)

    def copy(self, piece: re.Match[str]) -> None:
        """Take a piece over as it is."""
        self.pieces.append(piece[0])
        self.starts.extend(range(piece.start(), piece.end()))
        self.ends.extend(range(piece.start() + 1, piece.end() + 1))

    def write(self, replacement: str, start: int, end: int) -> None:
        """Write something that stands for ``start:end`` of the original."""
        self.pieces.append(replacement)
        self.starts.extend([start] * len(replacement))
        self.ends.extend([end] * len(replacement))

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that a span of the rewritten text stands for."""
        return self.starts[start], self.ends[end - 1]


_UNITS: Final = {word: str(value) for value, word in enumerate(UNITS)} | {"nought": "0", "naught": "0", "niner": "9"}
_TEENS: Final = {word: str(value) for value, word in enumerate(TEENS, start=10)}
_TENS: Final = {word: str(value) for value, word in enumerate(TENS, start=2)}
_ZEROS: Final = ("oh", "o")
_AFTER_A_NUMBER: Final = dict.fromkeys(_ZEROS, "0") | {"hundred": "00", "thousand": "000"}
_REPEATS: Final = {"double": 2, "triple": 3, "treble": 3}
_SAID: Final = re.compile(rf"\b(?:{'|'.join([*_UNITS, *_TEENS, *_TENS, *sorted(HESITATIONS)])})\b", re.IGNORECASE)
_TOKEN: Final = re.compile(r"\d+|[^\W\d_]+|[\W_]+")
_BETWEEN: Final = 3
"""Most fillers between two numbers that belong together."""


def words_to_digits(text: str) -> View | None:
    """Write number words as digits with a space between them: ``double five oh`` → ``5 5 0``.

    Numbers that only fillers separate (``um``, ``and``, ``dash``) come to stand side by side. ``None`` when the text
    has no such words.
    """
    if not _SAID.search(text):
        return None
    reading = _Reading()
    for token in _TOKEN.finditer(text):
        reading.take(token)
    return reading.finish()


class _Reading:
    """Reads token by token. ``gap`` holds what came since the last number, until it is known whether it matters."""

    def __init__(self) -> None:
        self._view = View()
        self._gap: list[re.Match[str]] = []
        self._in_number = False
        self._said = False
        self._open_tens: tuple[str, int] | None = None
        self._repeat: tuple[int, int] | None = None

    def take(self, token: re.Match[str]) -> None:
        word = token[0].lower()
        if word in _REPEATS:
            self._repeat = (_REPEATS[word], token.start())
            self._gap.append(token)
            return
        digits = self._digits(word)
        if digits:
            self._number(token, digits, said=not word.isdigit())
        else:
            self._other(token, word)

    def finish(self) -> View:
        self._flush()
        return self._view

    def _digits(self, word: str) -> str:
        if word.isascii() and word.isdigit():
            return word
        if word in _TENS:
            return _TENS[word] + "0"
        digits = _UNITS.get(word) or _TEENS.get(word)
        return digits or (_AFTER_A_NUMBER.get(word, "") if self._in_number else "")

    def _number(self, token: re.Match[str], digits: str, *, said: bool) -> None:
        start = token.start()
        if self._repeat and len(digits) == 1:
            times, start = self._repeat
            digits *= times
            while self._gap and self._gap[-1].start() >= start:
                self._gap.pop()
        self._repeat = None
        hesitated = any(piece[0].lower() in HESITATIONS for piece in self._gap)
        joined = self._in_number and (said or self._said or hesitated)
        if joined and self._open_tens and len(digits) == 1 and digits != "0" and len(self._gap) <= 1:
            self._complete_tens(digits, token.end())
        else:
            if joined:
                self._gap.clear()
                self._view.write(" ", start, start)
            elif said:
                self._leading_oh()
            self._flush()
            for position, digit in enumerate(digits):
                if said and position:
                    self._view.write(" ", start, start)
                self._view.write(digit, start, token.end())
            self._open_tens = (digits[0], start) if token[0].lower() in _TENS else None
        self._in_number, self._said = True, said

    def _complete_tens(self, unit: str, end: int) -> None:
        """``forty`` was written as ``4 0``; ``one`` makes it ``4 1``."""
        assert self._open_tens is not None  # noqa: S101 (the caller looked)
        self._gap.clear()
        self._view.pieces[-1] = unit
        self._view.ends[-1] = end
        self._open_tens = None

    def _leading_oh(self) -> None:
        """``oh two oh …``: the first ``oh`` is known to be a zero only now."""
        if len(self._gap) > 1 and self._gap[-2][0].lower() in _ZEROS and self._gap[-1][0].isspace():
            zero, _ = self._gap[-2:]
            del self._gap[-2:]
            self._flush()
            self._view.write("0", zero.start(), zero.end())
            self._view.write(" ", zero.end(), zero.end())

    def _other(self, token: re.Match[str], word: str) -> None:
        if word in _ZEROS:  # outside a number; whether a number begins with it is seen at the next one
            self._flush()
            self._gap.append(token)
            return
        self._gap.append(token)
        fillers = sum(piece[0].lower() in FILLERS for piece in self._gap)
        if (word[0].isalpha() and word not in FILLERS) or fillers > _BETWEEN or len(word) > 2 * _BETWEEN:
            self._flush()
            self._in_number, self._open_tens, self._repeat = False, None, None

    def _flush(self) -> None:
        for piece in self._gap:
            self._view.copy(piece)
        self._gap.clear()
