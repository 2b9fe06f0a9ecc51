"""Names of persons: entities of the language model without shop vocabulary, and names that a sentence introduces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from mmplatform.derive.pii.vocabulary import GIVEN_NAMES, NOT_NAMES, WORDS_AFTER_NAME

_NAME: Final = r"[A-Z][\w'\u2019\-]{1,30}"
_FULL_NAME: Final = rf"{_NAME}(?:\s(?:[A-Z]\.\s)?{_NAME}){{0,2}}"
_AFTER_GREETING: Final = re.compile(
    rf"\b(?i:hi|hello|hey|dear|thanks|thank you|sorry|cheers|regards|sincerely|welcome(?: back)?)\b[,!]?\s{{1,2}}"
    rf"(?:(?i:mr|mrs|ms|miss|dr)\.?\s)?(?P<name>{_FULL_NAME})"
)
_AFTER_TITLE: Final = re.compile(rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Mme|Sr)\b\.?\s(?P<name>{_FULL_NAME})")
_AFTER_LABEL: Final = re.compile(
    r"\b(?i:card\s?holder(?:'s)?(?: name)?|(?:full |first |last |customer |contact |account )?name|attn|recipient|"
    rf"agent|signed(?: by| in as)?|ship to|bill to)\s?[:=]\s{{0,3}}(?P<name>{_FULL_NAME})"
)
_CALLER: Final = re.compile(
    rf"\b(?i:this is|it's|i'm|i am|speaking with|talking to)\s(?P<name>{_FULL_NAME})"
    r"(?=\s(?i:calling|speaking|here|from|with|again)\b|[,.!]|\s?$)"
)
_INTRODUCED: Final = re.compile(
    r"\b(?:my|the|her|his) (?:full |first |last |sur)?name(?:'s| is)\s"
    r"(?P<name>[^\W\d_][\w'\u2019\-]{1,30}(?:\s[^\W\d_][\w'\u2019\-]{1,30})?)",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[\w'\u2019\-]+")
_ENDING: Final = re.compile(r"['\u2019]\w{0,2}$")
_MAX_CODE_LETTERS: Final = 4
_CODE: Final = re.compile(rf"[A-Z]{{1,{_MAX_CODE_LETTERS}}}|[A-Z]{{1,{_MAX_CODE_LETTERS - 1}}}-?[0-9][0-9-]*")
_MAX_NAME_WORDS: Final = 5


def find_names(
    text: str,
    people: Iterable[tuple[int, int]],
    others: Iterable[tuple[int, int]],
    dictionary: AbstractSet[str] = frozenset(),
) -> list[tuple[int, int]]:
    """Find spans of names in a text.

    Args:
        text: as written.
        people: spans that the language model labels as persons.
        others: spans that it labels as nationalities, places and the like.
        dictionary: lower-case words of the language. A span of only such words (``Forest Green``) is no person, unless
            a given name stands first.
    """
    other_spans = list(others)
    read = (span for start, end in people if (span := _trim_span(text, start, end)))
    spans = {span for span in read if not _is_dictionary_phrase(text[slice(*span)], dictionary)}
    for pattern in (_AFTER_GREETING, _AFTER_TITLE, _AFTER_LABEL, _CALLER):
        for match in pattern.finditer(text):
            span = _trim_span(text, *match.span("name"))
            if span and not (pattern is _CALLER and any(a < span[1] and span[0] < b for a, b in other_spans)):
                spans.add(span)
    spans.update(_introduced_names(text))
    spans.update(_repeated_names(text, spans))
    return sorted(spans)


def may_hold_name(text: str) -> bool:
    """Check whether the language model could find a name that :func:`find_names` would keep.

    A text without a possible name skips the model, which is most of the cost of redaction: many messages have capitals
    only at the start of a sentence. A doubtful word counts as a name, since an entity may begin or end within a word.
    """
    return any(any(map(str.isupper, word)) and not _cannot_be_name(word) for word in _WORD.findall(text))


def _cannot_be_name(word: str) -> bool:
    """Check that no part of a word, however the language model splits it, passes :func:`_may_be_name`."""
    bare = _ENDING.sub("", word)
    if any(map(str.isupper, word[len(bare) :])):
        return False
    return bool(_CODE.fullmatch(bare)) or (bare.isalpha() and bare[1:].islower() and bare.lower() in NOT_NAMES)


def _introduced_names(text: str) -> Iterator[tuple[int, int]]:
    """Find ``my name is dana whitfield``: lower case too, up to the first word that continues the sentence."""
    for match in _INTRODUCED.finditer(text):
        start, end = match.span("name")
        for word in _WORD.finditer(text, start, end):
            if word[0].lower() in WORDS_AFTER_NAME:
                end = word.start()
                break
        name = text[start:end].rstrip()
        if name and name.lower() not in NOT_NAMES:
            yield start, start + len(name)


def _trim_span(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Trim words that are no names from both ends; ``None`` when nothing or only a title is left."""
    words = [word for word in _WORD.finditer(text, start, end) if word[0].strip("'\u2019-")]
    while words and not _may_be_name(words[0][0]):
        words.pop(0)
    while words and not _may_be_name(words[-1][0]):
        words.pop()
    if not 0 < len(words) <= _MAX_NAME_WORDS or not all(
        _may_be_name(word[0]) for word in words if word[0][0].isupper()
    ):
        return None
    last = re.sub(r"['\u2019]s?$", "", words[-1][0])
    return words[0].start(), words[-1].start() + len(last)


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
    return all(word in dictionary or word.removesuffix("s") in dictionary for word in words)


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
