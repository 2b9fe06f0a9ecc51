"""Names by the lists, in any letter case: ``john smith``, ``ANNA LEE``, ``Дмитрий Петров``, ``محمد علي``.

A strong given name stands alone where it is capitalised. All other names need a second one beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mmplatform.derive.pii.name_lists import FOLDED_NOT_NAMES, PARTICLES, fold, name_lists

LETTER: Final = r"[^\W\d_]"
# Vowel signs of Indic scripts and Thai, and combining accents, are no word characters to Python.
_ACCENT: Final = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e31-\u0e4e\u200c\u200d"
WORD: Final = rf"{LETTER}(?:{LETTER}|[{_ACCENT}]|['\u2019\u00b7\-](?={LETTER}))*"
_WORD: Final = re.compile(WORD)
_JOINT: Final = re.compile(r"[ \t\u00a0]{1,2}|\.?[ ]|-|\u30fb|, ?")
CASED: Final = re.compile(r"[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u058f\u1e00-\u1fff]")
_ENDING: Final = re.compile(r"['\u2019](?:s|S|ll|d|re|ve|m|LL|D|RE|VE|M)?$")
_ARTICLE: Final = re.compile("^(?:al|el|ad|an|ar|as|at|az|d|l|'?t)[-'\u2019](?=.)")
_INFLECTION: Final = re.compile(r"(?:ies|ied|es|ed|ing|s|d|ly|er|ers|n['\u2019]t)$")
_MAX_WORDS: Final = 5
STRONG: Final = 2
_MIN_CAPITALS: Final = 4
"""Letters of a lone name in capitals; ``SAM`` and ``KIM`` are abbreviations too."""

_RUSSIAN_CASES: Final = (
    "ами",
    "ого",
    "ому",
    "ыми",
    "ой",
    "ом",
    "ем",
    "ей",
    "ым",
    "ую",
    "ью",
    "а",
    "у",
    "е",
    "ы",
    "и",
    "ю",
    "я",
)
_RUSSIAN_FAMILY: Final = re.compile(
    r"(?:[оеё]в|[иы]н|ск(?:ий|ой)|цк(?:ий|ой))(?:а|у|ым|е|ой|ого|ому|ою)?$|(?:ск|цк)(?:ая|ой|ую|ого|ому|им)$|(?:енко|чук|ович|евич)$"
)
_SMALL_BEFORE: Final = re.compile(r"[a-z]{2,} $")
_NEXT_WORD: Final = re.compile(r" (?P<word>[A-Z][a-z]{2,})(?= [a-z]|[.,;:!?)]|$)")
_MIN_STEM: Final = 3
_MIN_FAMILY: Final = 4
"""Letters of a family name that no list has."""


@dataclass(frozen=True, slots=True)
class NameWord:
    """A word with what the lists say of it: 2 strong, 1 weak, 0 not listed."""

    text: str
    start: int
    end: int
    given: int
    family: int

    @property
    def is_cased(self) -> bool:
        """Its script has capitals."""
        return bool(CASED.match(self.text))

    @property
    def is_title(self) -> bool:
        """A capital first, and a small letter somewhere: ``Dana``, ``O'Brien``, ``al-Farsi``."""
        bare = _ARTICLE.sub("", self.text)
        return bare[0].isupper() and any(map(str.islower, bare))

    @property
    def is_capitals(self) -> bool:
        """Capitals only, two or more."""
        return len(self.text) > 1 and self.text.isupper()

    @property
    def is_initial(self) -> bool:
        """One capital: the J of ``J. Hartley``."""
        return len(self.text) == 1 and self.text.isupper()

    @property
    def listed(self) -> int:
        """The stronger of both ratings."""
        return max(self.given, self.family)


@lru_cache(maxsize=8192)
def rate_word(word: str) -> tuple[int, int]:
    """Rate a word as a given and as a family name: 2 strong, 1 weak, 0 not listed."""
    folded = fold(word)
    given, family = _rate(folded)
    if not (given or family) and "\u0400" <= folded[0] <= "\u04ff":
        given, family = _rate_russian(folded)
    if not (given or family) and re.search("['\u2019-]", folded):
        parts = [_rate(part) for part in re.split("['\u2019-]", folded) if len(part) > 1]
        if parts and all(map(max, parts)):
            given, family = max(part[0] for part in parts), max(part[1] for part in parts)
        elif folded[:2] in {"o'", "d'"} and len(folded) > _MIN_STEM + 1:
            family = STRONG
    return given, family


def _rate(folded: str) -> tuple[int, int]:
    lists = name_lists()
    if folded in FOLDED_NOT_NAMES:
        return 0, 0
    given = STRONG if folded in lists.given_strong else int(folded in lists.given_weak)
    return given, STRONG if folded in lists.family_strong else int(folded in lists.family_weak)


def _rate_russian(folded: str) -> tuple[int, int]:
    """Rate an inflected name: ``Ивану Петрову``, ``Марии``."""
    best = (0, 0)
    for case in _RUSSIAN_CASES:
        stem = folded.removesuffix(case)
        if stem != folded and len(stem) >= _MIN_STEM:
            rates = [_rate(stem + ending) for ending in ("", "а", "я", "й", "ь", "ий")]
            best = max(best, *rates)
    if best == (0, 0) and len(folded) > _MIN_STEM + 2 and _RUSSIAN_FAMILY.search(folded):
        return 0, 1
    return best


def is_word(word: str, dictionary: AbstractSet[str]) -> bool:
    """Check for an English word, inflected too: ``called``, ``charges``, ``paying``."""
    small = word.lower().replace("\u2019", "'")
    if small in dictionary or small in FOLDED_NOT_NAMES:
        return True
    ending = _INFLECTION.search(small)
    stem = small[: ending.start()] if ending else ""
    return len(stem) > 1 and bool({stem, stem + "e", stem + "y", stem[:-1]} & dictionary)


def read_words(text: str, start: int = 0, end: int | None = None) -> list[NameWord]:
    """Split a text into words, with their ratings; an ending such as ``'s`` belongs to none."""
    words = []
    for match in _WORD.finditer(text, start, len(text) if end is None else end):
        bare = _ENDING.sub("", match[0]) or match[0]
        words.append(NameWord(bare, match.start(), match.start() + len(bare), *rate_word(bare)))
    return words


def find_listed_names(text: str, dictionary: AbstractSet[str] = frozenset()) -> list[tuple[int, int]]:
    """Find runs of words that the lists know as a name."""
    return [
        (start, _with_family_name(text, start, end, dictionary))
        for start, end in _runs(text, read_words(text), dictionary)
    ]


def _with_family_name(text: str, start: int, end: int, dictionary: AbstractSet[str]) -> int:
    """End of a name with the capitalised word after it: ``to Bram Stoker instead``, though stokers are many.

    Only between words in small letters, since in a headline each word has a capital.
    """
    following = _NEXT_WORD.match(text, end)
    if not following or not _SMALL_BEFORE.search(text[max(0, start - 20) : start]) or " " in text[start:end]:
        return end
    word = following["word"]
    is_verb = fold(word) in FOLDED_NOT_NAMES or not is_word(word, dictionary)
    return end if is_verb or not text[start].isupper() or text[start:end].isupper() else following.end("word")


def _runs(text: str, words: Sequence[NameWord], dictionary: AbstractSet[str]) -> Iterator[tuple[int, int]]:
    index = 0
    while index < len(words):
        length = _run_length(text, words[index : index + _MAX_WORDS + 1], dictionary)
        if length:
            yield words[index].start, words[index + length - 1].end
        index += length or 1


def _run_length(text: str, words: Sequence[NameWord], dictionary: AbstractSet[str]) -> int:
    """Number of words from the first on that are one name; 0: none starts here."""
    first = words[0]
    if not first.listed and not (first.is_initial and first.is_cased):
        return 0
    length = 1
    names = [first] if first.listed else []
    position = 1
    while position < min(len(words), _MAX_WORDS):
        if not _joined(text, words[position - 1], words[position]):
            break
        word = words[position]
        if word.is_initial or fold(word.text) in PARTICLES:
            position += 1
            continue
        if not _continues(first, word, names, dictionary):
            break
        names.append(word)
        position += 1
        length = position
    return length if _is_name(names, length, dictionary) else 0


def _joined(text: str, before: NameWord, word: NameWord) -> bool:
    gap = text[before.end : word.start]
    if gap == ". " and not before.is_initial:
        return False
    return gap in {" ", "-", "  ", "\u00a0"} or (gap in {". ", "."} and before.is_initial)


def _continues(first: NameWord, word: NameWord, names: Sequence[NameWord], dictionary: AbstractSet[str]) -> bool:
    """Check that a word belongs to the name before it."""
    if not word.is_cased:
        return bool(word.listed)
    if word.is_title:
        has_given = any(name.given == STRONG for name in names)
        unlisted = has_given and not is_word(word.text, dictionary)
        vietnamese = first.family == STRONG and not first.text.isascii()
        return (first.is_title or first.is_initial) and (bool(word.listed) or unlisted or vietnamese)
    if first.is_title or (word.is_capitals != first.is_capitals and not first.is_initial):
        return False
    if word.listed:
        return word.listed == STRONG or word.family >= word.given
    return len(names) == 1 and _is_unknown_family_name(first, word, dictionary)


def _is_unknown_family_name(first: NameWord, word: NameWord, dictionary: AbstractSet[str]) -> bool:
    """Check for ``beatrix kiddo``: after a given name, a word that is in no dictionary."""
    if len(word.text) < _MIN_FAMILY or is_word(word.text, dictionary) or not dictionary:
        return False
    return first.given == STRONG or (bool(first.given) and not is_word(first.text, dictionary))


def _is_name(names: Sequence[NameWord], length: int, dictionary: AbstractSet[str]) -> bool:
    """Check that the listed words of a run are enough for a name."""
    if len(names) > 1:
        return _is_full_name(names, dictionary)
    if not names or names[0].given < STRONG or not names[0].is_cased:
        return False
    name = names[0]
    familiar = fold(name.text) in name_lists().given_familiar
    return name.is_title or (familiar and length == 1 and (not name.is_capitals or len(name.text) >= _MIN_CAPITALS))


def _is_full_name(names: Sequence[NameWord], dictionary: AbstractSet[str]) -> bool:
    first, last = names[0], names[-1]
    has_given = any(name.given for name in names)
    strong = [name for name in names if name.listed == STRONG]
    if not first.is_cased:
        return has_given or len(strong) > 1
    if not has_given and first.text.isascii():  # Vietnamese names begin with the family's
        return False
    if first.is_title:
        return bool(strong) and any(name.listed == STRONG or name.text.lower() not in dictionary for name in names)
    if STRONG in {first.given, last.family}:
        return True
    return bool(first.given) and not is_word(first.text, dictionary) and not is_word(last.text, dictionary)
