"""Lists of given and family names in many scripts, read once from a compressed file of the package.

``python -m tools.name_lists`` builds the file. A *strong* name is no ordinary word (``priya``); a *weak* one is a word
or a place too (``mark``, ``paris``), so that it needs another name, a label or a greeting beside it.
"""

from __future__ import annotations

import lzma
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from mmplatform.derive.pii.vocabulary import BRANDS, CITIES, NOT_NAMES

FILE: Final = Path(__file__).with_name("name_lists.txt.xz")
WORDS_FILE: Final = Path(__file__).with_name("words.txt.xz")
PARTICLES: Final = frozenset(
    (
        *("van", "der", "den", "de", "la", "las", "los", "le", "del", "della", "di", "da", "do", "dos", "das", "du"),
        *("von", "zu", "zur", "zum", "vom", "af", "av", "ter", "ten", "bin", "bint", "ibn", "ben", "al", "el", "abu"),
        *("abou", "y", "e", "mac", "mc", "st", "o", "d", "l"),
    )
)
"""Words inside a family name, in small letters or with a capital: ``van der Berg``, ``bin Salman``."""

_ACCENTS: Final = dict.fromkeys(
    (*range(0x0300, 0x0370), *range(0x0591, 0x05C8), *range(0x064B, 0x0660), 0x0640, 0x0670), None
)


def fold(word: str) -> str:
    """Small letters without accents or vowel marks; scripts whose marks are letters stay as they are."""
    if word.isascii():
        return word.lower()
    bare = unicodedata.normalize("NFD", word).translate(_ACCENTS)
    return unicodedata.normalize("NFC", bare).casefold().replace("\u2019", "'")


FOLDED_NOT_NAMES: Final = NOT_NAMES | {fold(word) for word in NOT_NAMES}


@dataclass(frozen=True, slots=True)
class NameLists:
    """Folded names by what they are; East Asian names by language, as written."""

    given_strong: frozenset[str]
    given_familiar: frozenset[str]
    given_weak: frozenset[str]
    family_strong: frozenset[str]
    family_weak: frozenset[str]
    family_common: frozenset[str]
    by_language: dict[str, frozenset[str]]


@cache
def name_lists() -> NameLists:
    """Read the lists; words of the shop are no names, and places and brands are weak."""
    lines = lzma.decompress(FILE.read_bytes()).decode().splitlines()
    lists = {key: frozenset(names.split(" ")) for key, names in (line.split("\t") for line in lines)}
    weak = CITIES | BRANDS
    strong = lists["given-strong"] - NOT_NAMES
    return NameLists(
        given_strong=strong - weak,
        given_familiar=lists["given-familiar"] - NOT_NAMES - weak,
        given_weak=(lists["given-weak"] - strong | (strong & weak)) - NOT_NAMES,
        family_strong=lists["family-strong"] - NOT_NAMES - weak,
        family_weak=lists["family-weak"] - lists["family-strong"] | (lists["family-strong"] & weak),
        family_common=lists["family-common"],
        by_language={key: names for key, names in lists.items() if "-" in key and len(key.split("-")[0]) == 2},  # noqa: PLR2004
    )


@cache
def ordinary_words() -> frozenset[str]:
    """Read the words that texts write small: English with inflections, frequent German and Spanish ones."""
    return frozenset(lzma.decompress(WORDS_FILE.read_bytes()).decode().splitlines())
