"""The text that the embedder gets: without invisible characters, and with emoji by their names.

The embedder's vocabulary has no emoji: each is the same unknown token, so that any two messages of one emoji were each
other's nearest neighbours (cosine 1.0). Their Unicode names are words that it knows. Text with nothing visible (zero
width spaces, blank braille, Hangul fillers) says nothing at all and gets no passage.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

READABLE_VERSION: Final = 1
"""Part of an embedder's version: vectors of texts that were read in another way are of another space."""

# Categories of controls, formats, surrogates, private use and unassigned; line and paragraph separators are space.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_BLANKS: Final = frozenset("\u2800\u3164\u115f\u1160\uffa0\u034f\u17b4\u17b5") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0x180B, 0x180F), *range(0x1F3FB, 0x1F400))
}
"""Letters and marks without a shape: blank braille, fillers, variation selectors; and the skin tones of emoji."""

_JOINERS: Final = frozenset("\u200c\u200d")
_FIRST_FLAG, _LAST_FLAG = "\U0001f1e6", "\U0001f1ff"
_FLAG: Final = re.compile(f"([{_FIRST_FLAG}-{_LAST_FLAG}])([{_FIRST_FLAG}-{_LAST_FLAG}])")
_FIRST_EMOJI: Final = 0x2190
"""Arrows and all symbols behind them; (c), (r) and currency signs come before, and stay."""


def readable(text: str) -> str:
    """Return what the embedder shall read; empty when nothing of the text is visible."""
    if text.isascii() and text.isprintable():
        return text
    flags = _FLAG.sub(lambda flag: f" flag {_letter(flag[1])}{_letter(flag[2])} ", text)
    return " ".join("".join(map(_reading, flags)).split())


@lru_cache(maxsize=4096)
def _reading(character: str) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if character in _BLANKS or character in _JOINERS or category in _INVISIBLE:
        return ""
    if category == "So" and ord(character) >= _FIRST_EMOJI:
        return f" {unicodedata.name(character, '').lower()} "
    return character


def _letter(indicator: str) -> str:
    return chr(ord("a") + ord(indicator) - ord(_FIRST_FLAG))
