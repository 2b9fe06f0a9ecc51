"""Labels and the values beside them: ``CVV: 123``, ``"pin": "4471"``, ``| Sort code | 20-30-40 |``, ``123 is my cvv``.

The finders of codes, dates and documents share this grammar. Looking for words in the lower-case text comes first, so
that ordinary talk costs microseconds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mmplatform.derive.pii.entities import ENTITIES

Found = tuple[int, int, str]
"""Start and end of a value, and its entity."""

_HIDDEN: Final = "\x01"
_PLACEHOLDER: Final = re.compile(rf"\[(?:{'|'.join(ENTITIES)})\]")
_OVERLONG_WORD: Final = re.compile(r"\w{120,}")
_UNSPACED_SCRIPT: Final = re.compile(r"[\u0600-\u06ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]")

_TAG: Final = r"</?[a-z!][^<>]{0,80}>|&(?:nbsp|quot|amp|#\d{1,5});"
_SEPARATOR: Final = r"[\s:=|>\u2192#\-,.;(\[{\"'`*_)\]}\\?/~]"
_LINK_WORD: Final = (
    "is|was|are|be|it|it's|its|that|this|the|my|your|his|her|our|a|an|for|of|on|and|um|uh|er|so|here|"
    "card|debit|credit|visa|mastercard|atm|bank|checking|savings|back|code|number|numbers|no|nr|num|date|value|id|equals|reads|says|"
    "ist|lautet|der|die|das|mein|meine|meiner|dein|ihre?|karte|nummer|am|vom|für|den|dem|"
    "est|sont|le|la|les|du|mon|ma|votre|numéro|"
    "es|son|el|mi|su|número|numero|del|de|"
    "è|il|lo|mio|mia|di|é|o|meu|minha|do|da|"
    "mijn|het|jest|to|mój|moja|nr\\.|"
    "это|мой|моя|номер|карты"
)
_UNSPACED_LINK: Final = "[是为為はが的号码番号\uff1a]|هو|هي"
BRIDGE: Final = (
    rf"(?:\((?:\d[ \-]?digits?|[^()\d\n\x01]{{1,30}})\)|"
    rf"{_SEPARATOR}|{_TAG}|{_UNSPACED_LINK}|(?<![^\W\d_])(?:{_LINK_WORD})(?![^\W\d_])){{0,120}}+"
)
"""Separators, markup, spaces of a form and linking words: all that may stand between a label and its value."""

_COUNTED: Final = (
    r"(?![ \t]{0,2}(?:-[ \t]?)?(?:digits?|digit's|characters?|chars?|numbers|letters|times|attempts|tries|"
    r"minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|seconds?|secs?|percent|dollars?|euros?|pounds?|francs?|rupees?|usd|eur|gbp|"
    r"chf|inr|cad|aud|pln|sek|nok|dkk|czk|items?|people|users|"
    r"customers|orders|stellen|stellig|ziffern|mal|minuten|stunden|tage|chiffres|fois|jours|veces|días|dígitos|"
    r"cifre|volte|cijfers|cyfr|цифр\w*|位|桁|am|pm|uhr)\b|\s?[%€£¥₹₽₺$](?![\w]))"
)
END_OF_DIGITS: Final = rf"(?!\d)(?![.,:/]\d)(?!-\d)(?![a-zÀ-ɏЀ-ӿ]){_COUNTED}"
"""The end of a number that is a value, and no amount, time, version or count of things."""


@dataclass(frozen=True, slots=True)
class Page:
    """A plain text with its placeholders hidden, and the same in lower case for the search of words."""

    text: str
    lowered: str

    @classmethod
    def read(cls, plain: str) -> Page:
        """Hide what an earlier redaction wrote: ``[PASSWORD]`` is neither a label nor a value."""
        if "[" in plain:
            plain = _PLACEHOLDER.sub(lambda placeholder: _HIDDEN * len(placeholder[0]), plain)
        return cls(plain, plain.lower())

    def without_overlong_words(self) -> Page:
        """Blank words that are longer than any document's number: some of Presidio's patterns are quadratic in them."""
        if not _OVERLONG_WORD.search(self.text):
            return self
        text = _OVERLONG_WORD.sub(lambda word: " " * len(word[0]), self.text)
        return Page(text, text.lower())

    def holds_any(self, words: Iterable[str]) -> bool:
        """Check whether one of some lower-case words stands in the text."""
        lowered = self.lowered
        # Half the cost of any() over a generator; a text is searched for some 600 words.
        for word in words:  # noqa: SIM110
            if word in lowered:
                return True
        return False


class Labelled:
    """A kind of value that a label announces."""

    def __init__(self, labels: str, value: str, *, bridge: str = BRIDGE) -> None:
        """Compile the labels (one a line or separated by ``/``) with the pattern of a value.

        A space of a label also stands for ``_``, ``-`` or nothing: ``security code`` matches ``securityCode``.
        """
        phrases = split_labels(labels)
        self.words: tuple[str, ...] = tuple(sorted({_rarest_word(phrase) for phrase in phrases}))
        self._before = re.compile(rf"{label_pattern(phrases)}{bridge}(?P<value>{value})", re.IGNORECASE)

    def find(self, page: Page) -> Iterator[re.Match[str]]:
        """Yield matches, each with a group ``value``."""
        if page.holds_any(self.words):
            yield from self._before.finditer(page.text)


def find_overlapping(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yield matches, and look for the next label inside each value: ``Cookie: sessionid=…``."""
    match = pattern.search(text)
    while match:
        yield match
        match = pattern.search(text, match.start("value"))


def split_labels(labels: str) -> tuple[str, ...]:
    """Split labels at ``/`` and line ends, and add the spelling without accents of each."""
    phrases = [" ".join(phrase.split()) for phrase in re.split(r"[/\n]", labels)]
    return tuple(dict.fromkeys(form for phrase in phrases if phrase for form in (phrase, _without_accents(phrase))))


def label_pattern(phrases: Iterable[str]) -> str:
    """Write a pattern for labels: whole words, ``camelCase`` too; scripts without spaces have no word boundary."""
    descending = sorted(phrases, key=len, reverse=True)
    spaced = [_phrase_pattern(phrase) for phrase in descending if not _UNSPACED_SCRIPT.search(phrase)]
    unspaced = [_phrase_pattern(phrase) for phrase in descending if _UNSPACED_SCRIPT.search(phrase)]
    starts = r"(?:(?<![^\W_])|(?-i:(?<=[a-z])(?=[A-Z])))"
    choices = [rf"{starts}(?:{'|'.join(spaced)})(?![^\W\d_])"] if spaced else []
    return rf"(?:{'|'.join([*choices, *unspaced])})"


def _phrase_pattern(phrase: str) -> str:
    return r"[\s_\-./]{0,2}".join(re.escape(word) for word in phrase.split())


def _rarest_word(phrase: str) -> str:
    return max(phrase.lower().split(), key=len)


def _without_accents(text: str) -> str:
    if _UNSPACED_SCRIPT.search(text) or re.search("[\u0400-\u04ff]", text):
        return text
    decomposed = unicodedata.normalize("NFD", text.replace("ł", "l").replace("ı", "i"))
    return "".join(character for character in decomposed if not unicodedata.combining(character))
