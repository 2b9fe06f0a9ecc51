"""Labels that say "name" in many languages, and the value beside, below or far right of them.

Such a label wins whatever the language model says, unless the value is plainly no name: ``N/A``, ``required``, a
button. A label of a thing's name (``Product name``, ``File name``) is none of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from mmplatform.derive.pii.name_lists import FOLDED_NOT_NAMES, PARTICLES, fold
from mmplatform.derive.pii.name_phrases import OPEN_LABELS, SURE_LABELS, THINGS, any_phrase
from mmplatform.derive.pii.name_words import NameWord, is_word, read_words
from mmplatform.derive.pii.vocabulary import CITIES, NO_VALUES

_SEPARATOR: Final = (
    r"(?:['\"]?[ \t\u00a0]*(?:[:=\uff1a]|->|\u2192)[ \t\u00a0]*\n?[ \t]*['\"]?"
    r"|[ \t]*(?:</t[dh]>\s*<td[^>]{0,60}>|</(?:b|strong|label|dt|span)>:?\s*(?:<[^>]{1,60}>)?)"
    r"|[ \t]*\|[ \t]*|\t+|[ \u00a0]{2,}|[ ]?[\u2013\u2014][ ]?|[ ]-[ ])"
)
_LABEL: Final = re.compile(
    rf"(?<![^\W_])(?P<thing>(?:{any_phrase(THINGS)})['\u2019s]*[ _-]?)?"
    rf"(?:(?P<sure>{any_phrase(SURE_LABELS)})|(?P<people>{any_phrase(OPEN_LABELS)}))"
    rf"(?:[ ]?\*|[ ]?\([^)\n]{{1,30}}\))?{_SEPARATOR}\s{{0,3}}(?=[^\W\d_])",
    re.IGNORECASE,
)
_LABEL_ALONE: Final = re.compile(
    rf"^[ \t]*(?:{any_phrase(SURE_LABELS)}|name|nom|nombre|nome|naam|имя)[ ]?[*:\uff1a]?[ \t]*\n[ \t]*(?=[^\W\d_])",
    re.IGNORECASE | re.MULTILINE,
)
_LABEL_SPACED: Final = re.compile(
    r"(?<!\w)(?:card ?holder(?:'s)? name|name on card|full name|first name|last name|customer name|account holder"
    r"|vorname|nachname|nombre completo|nom complet)[ ](?=[^\W\d_])",
    re.IGNORECASE,
)
_REFUSED: Final = (FOLDED_NOT_NAMES | NO_VALUES) - PARTICLES
_MAX_WORDS: Final = 5


def find_labelled_names(text: str, dictionary: AbstractSet[str] = frozenset()) -> Iterator[tuple[int, int]]:
    """Find the values of labels that say "name"."""
    for label in _LABEL.finditer(text):
        if not label["thing"]:
            sure = bool(label["sure"])
            span = _read_value(text, label.end(), dictionary, sure=sure)
            if span:
                yield span
    for pattern in (_LABEL_ALONE, _LABEL_SPACED):
        for label in pattern.finditer(text):
            span = _read_value(text, label.end(), dictionary, sure=pattern is _LABEL_ALONE)
            if span:
                yield span


def _read_value(text: str, start: int, dictionary: AbstractSet[str], *, sure: bool) -> tuple[int, int] | None:
    words: list[NameWord] = []
    for word in read_words(text, start, min(len(text), start + 120)):
        gap = text[words[-1].end : word.start] if words else ""
        if words and not (gap in {" ", "-", "\u00a0"} or (gap in {". ", "."} and words[-1].is_initial) or gap == ", "):
            break
        if re.match(r"[ ]?[:=\uff1a]", text[word.end : word.end + 2]) or len(words) == _MAX_WORDS:
            break  # the next label
        if fold(word.text) in _REFUSED:
            break
        if words and word.text[0].islower() and words[0].text[0].isupper() and not _goes_on(word):
            break
        words.append(word)
    while words and fold(words[-1].text) in PARTICLES and len(words) > 1:
        words.pop()
    if not words or re.match(r"[\d_@/\\]|-\d|\.\w", text[words[-1].end : words[-1].end + 2]):
        return None
    return (words[0].start, words[-1].end) if _is_value(words, dictionary, sure=sure) else None


def _goes_on(word: NameWord) -> bool:
    return fold(word.text) in PARTICLES


def _is_value(words: list[NameWord], dictionary: AbstractSet[str], *, sure: bool) -> bool:
    listed = any(word.listed for word in words)
    plain = [word for word in words if is_word(word.text, dictionary)]
    first, last = words[0], words[-1]
    if sure and (not first.is_cased or not first.text[0].islower()):
        return listed or len(plain) < len(words) or len(words) > 1
    if sure:
        return listed or (len(words) > 1 and not plain)
    if not first.is_cased or first.text[0].islower():
        return any(word.listed > 1 for word in words) or (len(words) > 1 and any(word.given for word in words))
    if all(fold(word.text) in CITIES for word in words):
        return False
    if first.given and last.family and len(words) > 1:
        return True
    return (any(word.given or word.family > 1 for word in words) and len(plain) < len(words)) or (
        len(words) > 1 and not plain
    )
