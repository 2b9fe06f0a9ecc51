"""Names of persons: those that a label or cue introduces, those of the lists, and the language model's.

A label or cue that says "name" wins whatever the model says. What the model alone calls a person must look like a name:
a small model takes brands, product names and capitalised nouns of other languages for persons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from mmplatform.derive.pii.name_cues import SURE_CUES, find_introduced_names
from mmplatform.derive.pii.name_east_asia import find_east_asian_names
from mmplatform.derive.pii.name_labels import find_labelled_names
from mmplatform.derive.pii.name_lists import fold
from mmplatform.derive.pii.name_thai import find_thai_names
from mmplatform.derive.pii.name_words import CASED, STRONG, find_listed_names, is_word, rate_word
from mmplatform.derive.pii.vocabulary import BRANDS, BRANDS_NAMED_AFTER_PERSONS, CITIES, GIVEN_NAMES, NOT_NAMES

_WORD: Final = re.compile(r"[\w'\u2019\-]+")
_LETTERS: Final = re.compile(r"(?<![\w@.#/-])[^\W\d_]{3,20}(?:['\u2019-][^\W\d_]{2,20})?(?![\w@#/-])")
_ENDING: Final = re.compile(r"['\u2019]\w{0,2}$")
_MAX_CODE_LETTERS: Final = 4
_CODE: Final = re.compile(rf"[A-Z]{{1,{_MAX_CODE_LETTERS}}}|[A-Z]{{1,{_MAX_CODE_LETTERS - 1}}}-?[0-9][0-9-]*")
_MAX_NAME_WORDS: Final = 5
_FEW_WORDS: Final = 2
"""A text of two unknown words may be a name and nothing else."""
_THING_AFTER: Final = re.compile(
    r"[ ](?:charger|cable|app|store|account|card|prime|pay|shop|plan|router|phone|tablet|watch|laptop|printer|camera|"
    r"headphones|speaker|jacket|shirt|shoes|size|edition|series|pro|plus|max|mini|gift|support|team|portal|website|login|"
    r"subscription|order|refund|delivery|street|road|avenue|river|lake|airport|hotel|bank|university|station)s?\b",
    re.IGNORECASE,
)

_BRAND: Final = re.compile(
    rf"(?<!\w)(?:{'|'.join(sorted(map(re.escape, BRANDS_NAMED_AFTER_PERSONS)))})(?!\w)", re.IGNORECASE
)

Spans = list[tuple[int, int]]


def find_names(
    text: str,
    people: Iterable[tuple[int, int]],
    dictionary: AbstractSet[str] = frozenset(),
    by_rule: Spans | None = None,
) -> Spans:
    """Find spans of names in a text.

    Args:
        text: as written.
        people: spans that the language model labels as persons.
        dictionary: lower-case words of the language. A span of only such words (``Forest Green``) is no person, unless
            a given name stands first.
        by_rule: what :func:`find_names_by_rule` found in the text; ``None``: it is called.
    """
    spans = set(find_names_by_rule(text, dictionary) if by_rule is None else by_rule)
    for start, end in people:
        span = _trim_uncased(text, start, end, dictionary) or _trim_span(text, start, end, dictionary)
        if span and _is_likely_person(text, span, dictionary):
            spans.add(span)
    spans.update(_repeated_names(text, spans))
    return sorted(_without_brands(text, spans, dictionary))


def find_names_by_rule(text: str, dictionary: AbstractSet[str] = frozenset()) -> Spans:
    """Find the names that need no language model."""
    if not any(map(str.isalpha, text)):
        return []
    return [
        *find_labelled_names(text, dictionary),
        *find_introduced_names(text, dictionary),
        *find_listed_names(text, dictionary),
        *find_east_asian_names(text),
        *find_thai_names(text),
    ]


def _without_brands(
    text: str, spans: AbstractSet[tuple[int, int]], dictionary: AbstractSet[str]
) -> Iterable[tuple[int, int]]:
    """Leave out the names in brands (``Calvin Klein``), unless a label, a title or ``my name is`` introduces them."""
    brands = [match.span() for match in _BRAND.finditer(text)] if spans else []
    if not brands:
        return spans
    persons = [*find_labelled_names(text, dictionary), *find_introduced_names(text, dictionary, SURE_CUES)]
    brands = [(start, end) for start, end in brands if not any(first <= start < last for first, last in persons)]
    return [span for span in spans if not any(start <= span[0] and span[1] <= end for start, end in brands)]


def may_hold_name(
    text: str,
    found: Iterable[tuple[int, int]] = (),
    dictionary: AbstractSet[str] = frozenset(),
    *,
    uncased: bool = False,
) -> bool:
    """Check whether the language model could find a name that :func:`find_names` would keep, besides those found.

    A text without a possible name skips the model, which is most of the cost of redaction: many messages have capitals
    only at the start of a sentence. A doubtful word counts as a name, since an entity may begin or end within a word.
    ``uncased``: the model does not see capitals, so two unknown words side by side count too (``xiomara quezada``).
    """
    covered = list(found)
    if uncased and dictionary and any(True for _ in _unknown_pairs(text, covered, dictionary)):
        return True
    return any(
        any(map(str.isupper, word[0]))
        and not _cannot_be_name(word[0], dictionary)
        and not any(start <= word.start() and word.end() - 2 <= end for start, end in covered)
        for word in _WORD.finditer(text)
    )


def _unknown_pairs(text: str, covered: Spans, dictionary: AbstractSet[str]) -> Iterator[tuple[int, int]]:
    """Find two words side by side that are in no dictionary, all in small letters or all in capitals."""
    before: re.Match[str] | None = None
    if not _reads_as_covered_language(text, dictionary, few=_FEW_WORDS):
        return
    for word in _LETTERS.finditer(text):
        unknown = (
            (word[0].islower() or word[0].isupper())
            and not is_word(word[0], dictionary)
            and not any(start <= word.start() and word.end() <= end for start, end in covered)
        )
        if unknown and before and text[before.end() : word.start()] == " ":
            yield before.start(), word.end()
        before = word if unknown else None


def _reads_as_covered_language(text: str, dictionary: AbstractSet[str], *, few: int = 0) -> bool:
    """Check that half of a text's words are in the dictionary; in another language each word would be unknown."""
    words = _LETTERS.findall(text)
    return len(words) <= few or sum(is_word(word, dictionary) for word in words) * 2 >= len(words)


def _trim_uncased(text: str, start: int, end: int, dictionary: AbstractSet[str]) -> tuple[int, int] | None:
    """Trim ordinary words from a span that is all in small letters or in capitals; two words or more are a name."""
    span = text[start:end]
    if not (span.islower() or span.isupper()) or not _reads_as_covered_language(text, dictionary, few=_FEW_WORDS):
        return None
    words = list(_LETTERS.finditer(text, start, end))
    while words and _is_ordinary(words[0][0], dictionary):
        words.pop(0)
    while words and _is_ordinary(words[-1][0], dictionary):
        words.pop()
    return (words[0].start(), words[-1].end()) if 1 < len(words) <= _MAX_NAME_WORDS else None


def _is_ordinary(word: str, dictionary: AbstractSet[str]) -> bool:
    return is_word(word, dictionary) and max(rate_word(word)) < STRONG


def _cannot_be_name(word: str, dictionary: AbstractSet[str]) -> bool:
    """Check that no part of a word, however the language model splits it, passes :func:`_may_be_name`."""
    bare = _ENDING.sub("", word)
    if any(map(str.isupper, word[len(bare) :])):
        return False
    return bool(_CODE.fullmatch(bare)) or (
        bare.isalpha() and bare[1:].islower() and (bare.lower() in NOT_NAMES or _is_plain_word(bare, dictionary))
    )


def _is_plain_word(word: str, dictionary: AbstractSet[str]) -> bool:
    """Check for a dictionary word that no list of names has."""
    return word.lower() not in GIVEN_NAMES and is_word(word, dictionary) and not any(rate_word(word))


def _is_likely_person(text: str, span: tuple[int, int], dictionary: AbstractSet[str]) -> bool:
    """Check a span that the language model alone calls a person."""
    words = [word for word in re.findall(r"[^\W\d_]+", text[slice(*span)]) if len(word) > 1]
    if _is_dictionary_phrase(text[slice(*span)], dictionary) or not words:
        return False
    folded = [fold(word) for word in words]
    if all(word in CITIES | BRANDS for word in folded):
        return False
    listed = [word for word, key in zip(words, folded, strict=True) if any(rate_word(word)) and key not in BRANDS]
    if not listed and not BRANDS.isdisjoint(folded):
        return False
    if not listed and (_THING_AFTER.match(text, span[1]) or not any(map(CASED.match, words))):
        return False  # the model is English: in scripts without capitals it takes labels for names
    if not listed and dictionary and not _reads_as_covered_language(text[: span[0]] + text[span[1] :], dictionary):
        return False
    return bool(listed) or len(words) > 1 or words[0].lower() not in dictionary


def _trim_span(text: str, start: int, end: int, dictionary: AbstractSet[str]) -> tuple[int, int] | None:
    """Trim words that are no names from both ends; ``None`` when nothing or only a title is left."""
    words = [word for word in _WORD.finditer(text, start, end) if word[0].strip("'\u2019-")]
    while words and _is_trimmed(words[0][0], dictionary):
        words.pop(0)
    while words and _is_trimmed(words[-1][0], dictionary):
        words.pop()
    if not 0 < len(words) <= _MAX_NAME_WORDS or not all(
        _may_be_name(word[0]) for word in words if word[0][0].isupper()
    ):
        return None
    last = re.sub(r"['\u2019]s?$", "", words[-1][0])
    return words[0].start(), words[-1].start() + len(last)


def _is_trimmed(word: str, dictionary: AbstractSet[str]) -> bool:
    return not _may_be_name(word) or _is_plain_word(_ENDING.sub("", word), dictionary)


def _may_be_name(word: str) -> bool:
    bare = _ENDING.sub("", word)
    is_code = bare.isupper() and len(bare) <= _MAX_CODE_LETTERS and bare.isascii()
    return (
        bare[:1].isupper()
        and bare.lower() not in NOT_NAMES
        and not any(character.isdigit() or character == "_" for character in bare)
        and not is_code
    )


def _is_dictionary_phrase(span: str, dictionary: AbstractSet[str]) -> bool:
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", span)]
    if not words or words[0] in GIVEN_NAMES:
        return False
    return all(is_word(word, dictionary) for word in words)


def _repeated_names(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Find every other occurrence of a word of a found name, capitalised as in the name."""
    words = {
        word
        for start, end in spans
        for word in _WORD.findall(text[start:end])
        if len(word) > 2 and word[0].isupper() and _may_be_name(word)  # noqa: PLR2004 (an initial is no name)
    }
    if words:
        for match in re.finditer(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(words)))})(?!\w)", text):
            yield match.span()
