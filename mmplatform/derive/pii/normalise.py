"""Normalised forms of a text whose spans map back to it: plain characters, number words as digits."""

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

_BLANKS: Final = frozenset({*_INVISIBLE, *_SPACES, 0x2800, 0x3164, 0x115F, 0x1160, 0xFFA0})
"""Characters that show nothing: those above, and the blanks of Braille and Hangul."""


class _PlainTable(dict[int, str]):
    """Translation table, filled lazily: one character for one, so that offsets stay valid."""

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


def to_plain(text: str) -> str:
    """Convert digits to ASCII, dashes to ``-``, all spaces to ``" "``; the length stays."""
    return text if text.isascii() else text.translate(_PlainTable(_DASHES | _SPACES | _INVISIBLE))


def visible_bounds(text: str) -> tuple[int, int]:
    """Find the first visible character of a text, and the end of the last one; both 0 where there is none."""
    first, last = 0, len(text)
    while first < last and _is_blank(text[first]):
        first += 1
    while last > first and _is_blank(text[last - 1]):
        last -= 1
    return (first, last) if first < last else (0, 0)


def _is_blank(character: str) -> bool:
    return character.isspace() or ord(character) in _BLANKS


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates (half of an emoji), which cannot be encoded; the length stays."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


@dataclass(slots=True)
class RewrittenText:
    """A rewritten text; character ``i`` of it came from ``starts[i]:ends[i]`` of the original."""

    pieces: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The rewritten text."""
        return "".join(self.pieces)

    def copy(self, piece: re.Match[str]) -> None:
        """Copy a piece unchanged."""
        self.pieces.append(piece[0])
        self.starts.extend(range(piece.start(), piece.end()))
        self.ends.extend(range(piece.start() + 1, piece.end() + 1))

    def copy_span(self, text: str, start: int, end: int) -> None:
        """Copy a span of a text unchanged."""
        self.pieces.append(text[start:end])
        self.starts.extend(range(start, end))
        self.ends.extend(range(start + 1, end + 1))

    def write(self, replacement: str, start: int, end: int) -> None:
        """Write a replacement of ``start:end`` of the original."""
        self.pieces.append(replacement)
        self.starts.extend([start] * len(replacement))
        self.ends.extend([end] * len(replacement))

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the rewritten text back to the original."""
        return self.starts[start], self.ends[end - 1]


_UNIT_DIGITS: Final = {word: str(value) for value, word in enumerate(UNITS)} | {
    "nought": "0",
    "naught": "0",
    "niner": "9",
}
_TEEN_DIGITS: Final = {word: str(value) for value, word in enumerate(TEENS, start=10)}
_TENS_DIGITS: Final = {word: str(value) for value, word in enumerate(TENS, start=2)}
_ZERO_WORDS: Final = ("oh", "o")
_WITHIN_NUMBER: Final = dict.fromkeys(_ZERO_WORDS, "0") | {"hundred": "00", "thousand": "000"}
_REPEATS: Final = {"double": 2, "triple": 3, "treble": 3}
NUMBER_WORD: Final = re.compile(
    rf"\b(?:{'|'.join([*_UNIT_DIGITS, *_TEEN_DIGITS, *_TENS_DIGITS, *sorted(HESITATIONS)])})\b", re.IGNORECASE
)
_TOKEN: Final = re.compile(r"\d+|[^\W\d_]+|[\W_]+")
_FOUR_AS_HEARD: Final = re.compile(r"(?<=\d)[\s,]{1,2}(for)(?=[\s,]{1,2}\d)", re.IGNORECASE)
"""Speech recognition writes a four between other digits as the word: of 121 dictated numbers it did so in nine."""

_MAX_FILLERS: Final = 3
"""Fillers between two numbers that belong together."""


def words_to_digits(text: str) -> RewrittenText | None:
    """Write number words as digits with a space between them: ``double five oh`` → ``5 5 0``.

    Numbers that only fillers separate (``um``, ``and``, ``dash``) become adjacent. ``None`` when the text has no
    such words.
    """
    fours = {match.start(1) for match in _FOUR_AS_HEARD.finditer(text)}
    if not fours and not NUMBER_WORD.search(text):
        return None
    rewriter = _DigitRewriter()
    for token in _TOKEN.finditer(text):
        if token.start() in fours:
            rewriter.add_number(token, "4", is_word=True)
        else:
            rewriter.add_token(token)
    return rewriter.finish()


class _DigitRewriter:
    """Rewrites token by token. ``_gap`` buffers the tokens since the last number until the next decides on them."""

    def __init__(self) -> None:
        self._rewritten = RewrittenText()
        self._gap: list[re.Match[str]] = []
        self._in_number = False
        self._previous_is_word = False
        self._open_tens: tuple[str, int] | None = None
        self._repeat: tuple[int, int] | None = None

    def add_token(self, token: re.Match[str]) -> None:
        word = token[0].lower()
        if word in _REPEATS:
            self._repeat = (_REPEATS[word], token.start())
            self._gap.append(token)
            return
        digits = self._digits(word)
        if digits:
            self.add_number(token, digits, is_word=not word.isdigit())
        else:
            self._plain_word(token, word)

    def finish(self) -> RewrittenText:
        self._flush()
        return self._rewritten

    def _digits(self, word: str) -> str:
        if word.isascii() and word.isdigit():
            return word
        if word in _TENS_DIGITS:
            return _TENS_DIGITS[word] + "0"
        digits = _UNIT_DIGITS.get(word) or _TEEN_DIGITS.get(word)
        return digits or (_WITHIN_NUMBER.get(word, "") if self._in_number else "")

    def add_number(self, token: re.Match[str], digits: str, *, is_word: bool) -> None:
        """Write a number; ``is_word``: it is no number in the text."""
        start = token.start()
        if self._repeat and len(digits) == 1:
            times, start = self._repeat
            digits *= times
            while self._gap and self._gap[-1].start() >= start:
                self._gap.pop()
        self._repeat = None
        hesitated = any(piece[0].lower() in HESITATIONS for piece in self._gap)
        joined = self._in_number and (is_word or self._previous_is_word or hesitated)
        if joined and self._open_tens and len(digits) == 1 and digits != "0" and len(self._gap) <= 1:
            self._complete_tens(digits, token.end())
        else:
            if joined:
                self._gap.clear()
                self._rewritten.write(" ", start, start)
            elif is_word:
                self._leading_oh()
            self._flush()
            for position, digit in enumerate(digits):
                if is_word and position:
                    self._rewritten.write(" ", start, start)
                self._rewritten.write(digit, start, token.end())
            self._open_tens = (digits[0], start) if token[0].lower() in _TENS_DIGITS else None
        self._in_number, self._previous_is_word = True, is_word

    def _complete_tens(self, unit: str, end: int) -> None:
        """``forty`` was written as ``4 0``; ``one`` makes it ``4 1``."""
        assert self._open_tens is not None  # noqa: S101 (the caller checked)
        self._gap.clear()
        self._rewritten.pieces[-1] = unit
        self._rewritten.ends[-1] = end
        self._open_tens = None

    def _leading_oh(self) -> None:
        """Write the first ``oh`` of ``oh two oh …`` as a zero, which only the next number shows."""
        if len(self._gap) > 1 and self._gap[-2][0].lower() in _ZERO_WORDS and self._gap[-1][0].isspace():
            zero, _ = self._gap[-2:]
            del self._gap[-2:]
            self._flush()
            self._rewritten.write("0", zero.start(), zero.end())
            self._rewritten.write(" ", zero.end(), zero.end())

    def _plain_word(self, token: re.Match[str], word: str) -> None:
        if word in _ZERO_WORDS:  # outside a number; the next token shows whether a number begins with it
            self._flush()
            self._gap.append(token)
            return
        self._gap.append(token)
        fillers = sum(piece[0].lower() in FILLERS for piece in self._gap)
        if (word[0].isalpha() and word not in FILLERS) or fillers > _MAX_FILLERS or len(word) > 2 * _MAX_FILLERS:
            self._flush()
            self._in_number, self._open_tens, self._repeat = False, None, None

    def _flush(self) -> None:
        for piece in self._gap:
            self._rewritten.copy(piece)
        self._gap.clear()
