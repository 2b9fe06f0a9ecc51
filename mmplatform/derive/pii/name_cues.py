"""Words before or after a name that introduce it, in many languages: greetings, titles, ``my name is``, ``来电``.

A cue is strong where only a name can follow (``my name is``, ``je m'appelle``), and weak where other words can too
(``I am``, ``customer``): after a weak one the word must be on a list, or be capitalised and in no dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from mmplatform.derive.pii.name_lists import FOLDED_NOT_NAMES, PARTICLES, fold
from mmplatform.derive.pii.name_phrases import (
    GREETINGS,
    MAY_INTRODUCE,
    NAME_FOLLOWS,
    PERSON_FOLLOWS,
    TITLES,
    any_phrase,
)
from mmplatform.derive.pii.name_words import NameWord, is_word, read_words
from mmplatform.derive.pii.vocabulary import WORDS_AFTER_NAME

_CUE: Final = re.compile(
    rf"(?<![\w'\u2019-])(?:(?P<strong>{any_phrase(NAME_FOLLOWS)})|(?P<title>(?:{any_phrase(TITLES)})\.?)"
    rf"|(?P<greeting>{any_phrase(GREETINGS)})|(?P<person>{any_phrase(PERSON_FOLLOWS)})"
    rf"|(?P<weak>{any_phrase(MAY_INTRODUCE)}))(?![\w'\u2019])[:,!]?[ \t\u00a0]{{0,3}}\n?(?=[^\W\d_])",
    re.IGNORECASE,
)
_CALLING: Final = re.compile(
    r"[ ,]{1,2}(?:calling|speaking|here|phoning|on the (?:phone|line)|called|rang|phoned|from accounts?|again)\b",
    re.IGNORECASE,
)
_BOUNDARY: Final = re.compile(r"\s*(?:$|[,.!?;:)\n])")
_MAX_WORDS: Final = 4


CUE_KINDS: Final = frozenset(("strong", "title", "greeting", "person", "weak"))
SURE_CUES: Final = frozenset(("strong", "title"))
"""Kinds of cues after which only a name can follow."""


def find_introduced_names(
    text: str, dictionary: AbstractSet[str] = frozenset(), kinds: AbstractSet[str] = CUE_KINDS
) -> Iterator[tuple[int, int]]:
    """Find the names that a cue of one of these kinds introduces."""
    for cue in _CUE.finditer(text):
        if cue.lastgroup not in kinds:
            continue
        span = _read_name(text, cue.end(), str(cue.lastgroup), dictionary)
        if span:
            yield span


def _read_name(text: str, start: int, kind: str, dictionary: AbstractSet[str]) -> tuple[int, int] | None:
    """Read the name that begins right after a cue."""
    words = _leading_words(text, read_words(text, start, min(len(text), start + 120)))
    if not words or words[0].start - start > 1:
        return None
    accepted: list[NameWord] = []
    for word in words:
        if word.is_initial or (accepted and fold(word.text) in PARTICLES and not _BOUNDARY.match(text, word.end)):
            accepted.append(word)
            continue
        if not _fits(word, accepted, kind, dictionary):
            break
        accepted.append(word)
    while accepted and (fold(accepted[-1].text) in PARTICLES) and len(accepted) > 1:
        accepted.pop()
    if (
        kind in {"weak", "person"}
        and accepted
        and accepted[0].text[0].islower()
        and not _CALLING.match(text, accepted[-1].end)
    ):
        while accepted and not accepted[-1].listed:
            accepted.pop()
    if not accepted or not any(len(word.text) > 1 for word in accepted):
        return None
    return (words[0].start, accepted[-1].end) if _is_enough(text, accepted, kind, dictionary) else None


def _leading_words(text: str, words: list[NameWord]) -> list[NameWord]:
    """Words of one phrase: up to a line's end or punctuation, an initial's point excepted."""
    phrase: list[NameWord] = []
    for word in words[:_MAX_WORDS]:
        if phrase:
            gap = text[phrase[-1].end : word.start]
            if gap.strip(" \t\u00a0-") and not (gap == ". " and phrase[-1].is_initial):
                break
            if len(gap) > 2:  # noqa: PLR2004 (columns)
                break
        phrase.append(word)
    return phrase


def _fits(word: NameWord, accepted: list[NameWord], kind: str, dictionary: AbstractSet[str]) -> bool:
    """Check that a word can belong to a name after a cue of this kind."""
    if fold(word.text) in FOLDED_NOT_NAMES or word.text.lower() in WORDS_AFTER_NAME:
        return False
    if not word.is_cased:
        return bool(word.listed) or (kind in {"strong", "title"} and (not accepted or word.text.startswith("ال")))
    is_unlisted_name = not is_word(word.text, dictionary)
    if word.is_title or word.is_capitals:
        return bool(word.listed) or is_unlisted_name or (kind == "title" and word.is_title and not accepted)
    if accepted and not accepted[0].text[0].islower():
        return False
    if accepted:
        return word.listed > 1 or bool(word.family) or (kind != "greeting" and is_unlisted_name)
    return bool(word.listed) or (kind in {"strong", "weak", "person"} and is_unlisted_name)


def _is_enough(text: str, words: list[NameWord], kind: str, dictionary: AbstractSet[str]) -> bool:
    """Check that the words after a cue are a name."""
    first, last = words[0], words[-1]
    if kind == "strong":
        return True
    ends = bool(_BOUNDARY.match(text, last.end))
    calls = bool(_CALLING.match(text, last.end))
    listed = max(word.listed for word in words)
    if not first.is_cased:
        return listed > 0
    if not (first.is_title or first.is_capitals):
        return _is_enough_in_small_letters(words, kind, dictionary, ends=ends, calls=calls)
    if kind == "title" or (kind in {"person", "greeting"} and first.is_title):
        return True
    if kind == "greeting":
        return listed > 0
    followed = ends or calls
    return listed > 1 or (listed > 0 and (len(words) > 1 or followed)) or (followed and first.is_title)


def _is_enough_in_small_letters(
    words: list[NameWord], kind: str, dictionary: AbstractSet[str], *, ends: bool, calls: bool
) -> bool:
    listed = max(word.listed for word in words)
    if kind == "title":
        return listed > 0
    if kind == "greeting":
        return listed > 1 or (listed > 0 and ends)
    if calls:
        return listed > 0 or not is_word(words[0].text, dictionary)
    return listed > 1 and len(words) > 1
