"""A reading of a text with dictated digits of six languages beside English: ``vier eins eins`` reads ``4 1 1``.

The library text2num reads the numbers. English has its own reading (:mod:`mmplatform.derive.pii.normalise`), which
knows hesitations and ``double five``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from mmplatform.derive.pii.normalise import RewrittenText


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DIGIT_WORDS: Final[Mapping[str, str]] = {
    "de": "null eins ein zwei zwo drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "es": "cero uno un dos tres cuatro cinco seis siete ocho nueve diez once doce",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze",
    "it": "zero uno un due tre quattro cinque sei sette otto nove dieci undici dodici",
    "nl": "nul een één twee drie vier vijf zes zeven acht negen tien elf twaalf",
    "pt": "zero um dois duas três tres quatro cinco seis meia sete oito nove dez onze doze",
}
_PAIR_WORDS: Final[Mapping[str, str]] = {
    "de": r"[a-zäöüß]*(?:zwanzig|drei(?:ß|ss)ig|vierzig|fünfzig|sechzig|siebzig|achtzig|neunzig|zehn)",
    "es": (
        r"veint[a-zéóú]*|treinta|cuarenta|cincuenta|sesenta|setenta|ochenta|noventa|trece|catorce|quince|"
        r"dieci[a-zéó]*"
    ),
    "fr": r"(?:quatre-)?vingts?[a-z-]*|(?:quar|cinqu|soix)ante[a-z-]*|trente[a-z-]*|treize|quatorze|quinze|seize",
    "it": (
        r"(?:vent|trent|quarant|cinquant|sessant|settant|ottant|novant)[a-zéè]+|(?:tre|quattor|quin|se)dici|"
        r"dici[a-z]+"
    ),
    "nl": r"[a-zë]*(?:twintig|dertig|veertig|vijftig|zestig|zeventig|tachtig|negentig|tien)",
    "pt": r"vinte|trinta|quarenta|cinquenta|sessenta|setenta|oitenta|noventa|treze|catorze|quinze|dez[ae]?[a-z]+",
}
"""Numbers of two digits, which many people dictate: ``zweiundzwanzig``."""


def _number_word(*languages: str) -> re.Pattern[str]:
    words = {word for language in languages for word in _DIGIT_WORDS[language].split()}
    choices = [*sorted(words), *(_PAIR_WORDS[language] for language in languages)]
    return re.compile(rf"(?<!\w)(?:{'|'.join(choices)})(?!\w)", re.IGNORECASE)


FOREIGN_NUMBER_WORD: Final = _number_word(*_DIGIT_WORDS)
_NUMBER_WORD_BY_LANGUAGE: Final = {language: _number_word(language) for language in _DIGIT_WORDS}
_MIN_NUMBER_WORDS: Final = 3
"""Fewer are counts, as in "nach zwei oder drei Tagen"."""

_FILLERS: Final = _words(
    """
    und dann äh ähm also doppel strich bindestrich et puis euh alors double tiret y luego eh pues doble guion guión
    e poi doppio trattino en dan dubbel streepje depois duplo hífen hifen mal um uhm
    """
)
"""Words that may stand between two digits of one number; two same digits are read as one after ``doppel``."""

_TOKEN: Final = re.compile(r"\d+|[^\W\d_]+(?:-[^\W\d_]+)*|[^\w\s]|_")
_GAP: Final = re.compile(r"[\s,.;:\-]*")
_MAX_FILLERS: Final = 3
_HALF_DOZEN: Final = "meia"
"""Six, as Brazilians dictate it."""


class _Token:
    """A word as text2num asks for it."""

    __slots__ = ("word",)

    def __init__(self, word: str) -> None:
        self.word = word

    def text(self) -> str:
        return self.word

    def nt_separated(self, _previous: object) -> bool:
        return False

    def not_a_number_part(self) -> bool:
        return False


def foreign_words_to_digits(text: str) -> RewrittenText | None:
    """Write dictated numbers as digits with a space between them; None when the text has none in these languages."""
    language = _dictated_language(text)
    if language is None:
        return None
    from text_to_num import find_numbers

    matches = list(_TOKEN.finditer(text))
    tokens = [_Token("seis" if match[0].lower() == _HALF_DOZEN else match[0].lower()) for match in matches]
    numbers = {
        number.start: (number.end, number.text)
        for number in find_numbers(tokens, language, 0)
        if number.text.isdecimal()
    }
    numbers |= {
        index: (index + 1, match[0])
        for index, match in enumerate(matches)
        if match[0].isdecimal() and not any(first <= index < last for first, (last, _) in numbers.items())
    }
    return _rewrite(text, matches, numbers)


def _dictated_language(text: str) -> str | None:
    """Choose the language that has most of the number words."""
    if len(FOREIGN_NUMBER_WORD.findall(text)) < _MIN_NUMBER_WORDS:
        return None
    counts = {language: len(words.findall(text)) for language, words in _NUMBER_WORD_BY_LANGUAGE.items()}
    language = max(counts, key=lambda name: counts[name])
    return language if counts[language] >= _MIN_NUMBER_WORDS else None


def _rewrite(
    text: str, matches: Sequence[re.Match[str]], numbers: Mapping[int, tuple[int, str]]
) -> RewrittenText | None:
    rewritten, copied_to, last = RewrittenText(), 0, None
    for first in sorted(numbers):
        end, digits = numbers[first]
        start = matches[first].start()
        if last is None or not _joins(text, matches[last:first], copied_to, start):
            rewritten.copy_span(text, copied_to, start)
        else:
            rewritten.write(" ", copied_to, start)
        stop = matches[end - 1].end()
        for position, digit in enumerate(digits):
            rewritten.write(f" {digit}" if position and not matches[first][0].isdecimal() else digit, start, stop)
        copied_to, last = stop, end
    if last is None:
        return None
    rewritten.copy_span(text, copied_to, len(text))
    return rewritten


def _joins(text: str, between: Sequence[re.Match[str]], start: int, end: int) -> bool:
    """Check that only fillers and signs stand between two numbers."""
    words = [match[0].lower() for match in between if match[0].isalpha()]
    if not words:
        return bool(_GAP.fullmatch(text, start, end))
    return len(words) <= _MAX_FILLERS and _FILLERS.issuperset(words)
