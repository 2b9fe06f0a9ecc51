"""Names of persons: what the language model found, less the shop's vocabulary, and what people say about themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from mmplatform.derive.pii.vocabulary import AFTER_A_NAME, GIVEN_NAMES, NO_NAMES

_NAME: Final = r"[A-Z][\w'\u2019\-]{1,30}"
_FULL_NAME: Final = rf"{_NAME}(?:\s(?:[A-Z]\.\s)?{_NAME}){{0,2}}"
_GREETED: Final = re.compile(
    rf"\b(?i:hi|hello|hey|dear|thanks|thank you|sorry|cheers|regards|sincerely|welcome(?: back)?)\b[,!]?\s{{1,2}}"
    rf"(?:(?i:mr|mrs|ms|miss|dr)\.?\s)?(?P<name>{_FULL_NAME})"
)
_TITLED: Final = re.compile(rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Mme|Sr)\b\.?\s(?P<name>{_FULL_NAME})")
_LABELLED: Final = re.compile(
    r"\b(?i:card\s?holder(?:'s)?(?: name)?|(?:full |first |last |customer |contact |account )?name|attn|recipient|"
    rf"agent|signed(?: by| in as)?|ship to|bill to)\s?[:=]\s{{0,3}}(?P<name>{_FULL_NAME})"
)
_CALLER: Final = re.compile(
    rf"\b(?i:this is|it's|i'm|i am|speaking with|talking to)\s(?P<name>{_FULL_NAME})"
    r"(?=\s(?i:calling|speaking|here|from|with|again)\b|[,.!]|\s?$)"
)
_SAID: Final = re.compile(
    r"\b(?:my|the|her|his) (?:full |first |last |sur)?name(?:'s| is)\s"
    r"(?P<name>[^\W\d_][\w'\u2019\-]{1,30}(?:\s[^\W\d_][\w'\u2019\-]{1,30})?)",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[\w'\u2019\-]+")
_ENDING: Final = re.compile(r"['\u2019]\w{0,2}$")
_MOST_OF_CODE: Final = 4
_CODE: Final = re.compile(rf"[A-Z]{{1,{_MOST_OF_CODE}}}|[A-Z]{{1,{_MOST_OF_CODE - 1}}}-?[0-9][0-9-]*")
_MOST_WORDS: Final = 5


def find_names(
    text: str,
    people: Iterable[tuple[int, int]],
    others: Iterable[tuple[int, int]],
    ordinary: AbstractSet[str] = frozenset(),
) -> list[tuple[int, int]]:
    """Spans of names in a text.

    Args:
        text: as written.
        people: spans that the language model takes for persons.
        others: spans that it takes for nationalities, places and the like.
        ordinary: words of the language, in small letters: what is made of them alone (``Forest Green``) is no person,
            whatever the model says, unless a given name stands first.
    """
    elsewhere = list(others)
    read = (span for start, end in people if (span := _trimmed(text, start, end)))
    spans = {span for span in read if not _is_ordinary(text[slice(*span)], ordinary)}
    for pattern in (_GREETED, _TITLED, _LABELLED, _CALLER):
        for match in pattern.finditer(text):
            span = _trimmed(text, *match.span("name"))
            if span and not (pattern is _CALLER and any(a < span[1] and span[0] < b for a, b in elsewhere)):
                spans.add(span)
    spans.update(_introduced(text))
    spans.update(_repeated(text, spans))
    return sorted(spans)


def may_hold_name(text: str) -> bool:
    """Whether a language model could find a name in it that :func:`find_names` would keep.

    Where no word can be one or a part of one, the model need not be asked, and that is most of what redaction costs:
    many a message has no capital but at the beginning of a sentence. What is in doubt counts as a name, since an
    entity may begin or end within a word.
    """
    return any(any(map(str.isupper, word)) and not _is_no_name(word) for word in _WORD.findall(text))


def _is_no_name(word: str) -> bool:
    """However the language model splits it: no part of it passes :func:`_may_be_name`."""
    bare = _ENDING.sub("", word)
    if any(map(str.isupper, word[len(bare) :])):
        return False
    return bool(_CODE.fullmatch(bare)) or (bare.isalpha() and bare[1:].islower() and bare.lower() in NO_NAMES)


def _introduced(text: str) -> Iterator[tuple[int, int]]:
    """``my name is dana whitfield``: small letters too, up to the first word that goes on with the sentence."""
    for match in _SAID.finditer(text):
        start, end = match.span("name")
        for word in _WORD.finditer(text, start, end):
            if word[0].lower() in AFTER_A_NAME:
                end = word.start()
                break
        kept = text[start:end].rstrip()
        if kept and kept.lower() not in NO_NAMES:
            yield start, start + len(kept)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Without words at its ends that are no names; ``None`` when nothing is left, or what is left is a title."""
    words = [word for word in _WORD.finditer(text, start, end) if word[0].strip("'\u2019-")]
    while words and not _may_be_name(words[0][0]):
        words.pop(0)
    while words and not _may_be_name(words[-1][0]):
        words.pop()
    if not 0 < len(words) <= _MOST_WORDS or not all(_may_be_name(word[0]) for word in words if word[0][0].isupper()):
        return None
    last = re.sub(r"['\u2019]s?$", "", words[-1][0])
    return words[0].start(), words[-1].start() + len(last)


def _may_be_name(word: str) -> bool:
    bare = _ENDING.sub("", word)
    is_code = bare.isupper() and len(bare) <= _MOST_OF_CODE and bare.isascii()
    return (
        bare[:1].isupper()
        and bare.lower() not in NO_NAMES
        and not any(character.isdigit() or character == "_" for character in bare)
        and not is_code
    )


def _is_ordinary(span: str, ordinary: AbstractSet[str]) -> bool:
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", span)]
    if not words or words[0] in GIVEN_NAMES:
        return False
    return all(word in ordinary or word.removesuffix("s") in ordinary for word in words)


def _repeated(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Every other place where a word of a found name stands, capitalised as it was."""
    words = {
        word
        for start, end in spans
        for word in _WORD.findall(text[start:end])
        if len(word) > 2 and word[0].isupper() and _may_be_name(word)  # noqa: PLR2004 (an initial is no name)
    }
    if words:
        for match in re.finditer(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(words)))})(?!\w)", text):
            yield match.span()
