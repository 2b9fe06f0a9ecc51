"""Letters that stand for digits: character recognition reads ``4lll 1111 …``, and people disguise numbers so."""

from __future__ import annotations

import re
from typing import Final

_LETTERS: Final = "lIi|!OoQDSsBbZzGgqT"
_DIGIT_BY_LETTER: Final = dict(zip(_LETTERS, "1111100005588226997", strict=True))
_LETTER_BY_DIGIT: Final = {"0": "O", "1": "I", "2": "Z", "5": "S", "6": "G", "8": "B", "|": "I", "!": "I"}
_TO_DIGITS: Final = str.maketrans(_DIGIT_BY_LETTER)
_TOKEN: Final = re.compile(rf"(?<![^\W_])(?=[\d{_LETTERS}]*[{_LETTERS}])[\d{_LETTERS}]+(?![^\W_])")
_MIXED: Final = re.compile(
    rf"\d[{_LETTERS}]|[{_LETTERS}]\d|\d\W{{1,3}}[{_LETTERS}]{{4}}(?!\w)|(?<!\w)[{_LETTERS}]{{4}}\W{{1,3}}\d"
)
_CARD_GROUP: Final = 4


def letters_to_digits(text: str) -> str | None:
    """Write look-alikes as digits in tokens that consist of digits and look-alikes; the length stays.

    A token without any digit must be as long as a group of a card. ``None`` when the text has no such token.
    """
    if not _MIXED.search(text):
        return None
    converted = _TOKEN.sub(_convert, text)
    return converted if converted != text else None


def to_digit(character: str) -> str:
    """Convert a look-alike to its digit; any other character stays."""
    return _DIGIT_BY_LETTER.get(character, character)


def to_six(character: str) -> str:
    """Convert a small ``b`` to 6, which it resembles as much as 8; any other character stays."""
    return "6" if character == "b" else character


def to_letter(character: str) -> str:
    """Convert a digit to the letter that looks like it; any other character stays."""
    return _LETTER_BY_DIGIT.get(character, character)


def _convert(token: re.Match[str]) -> str:
    written = token[0]
    if len(written) != _CARD_GROUP and not any(character.isdigit() for character in written):
        return written
    return written.translate(_TO_DIGITS)
