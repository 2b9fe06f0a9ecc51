"""Languages that the finders of personal data know, and how much of the redaction covers a text.

Numbers, e-mail addresses, keys and tokens have the same shape in every language. Names, addresses, number words, and
values that only a word beside them identifies (a PIN, a birth date, a passport) are found where a finder knows the
language. A test shows for each language of each row that its finder finds something in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mmplatform.artifacts import RedactionCoverage
from mmplatform.ports import DetectedLanguage


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


FINDER_LANGUAGES: Final[Mapping[str, frozenset[str]]] = {
    "names": _codes("ar de el en es fr hi it ja ko nl pl pt ru uk zh"),
    "labelled values": _codes("ar de en es fr it ja ko nl pl pt ru tr zh"),
    "addresses": _codes("ar de en es fr it ja ko nl pl pt ru tr zh"),
    "number words": _codes("de en es fr it nl pt"),
}
"""Finder → codes of the languages (ISO 639-1) that it knows."""

_IN_SPEECH_ONLY: Final = frozenset({"number words"})
"""Finders without which a written text is covered: people write numbers in digits, and say them in words."""

_MIN_SPOKEN_CONFIDENCE: Final = 0.5
"""Below it the speech recogniser has guessed: with less than half the probability another language is as likely."""


def written_coverage(language: DetectedLanguage) -> RedactionCoverage:
    """Rate how much of the redaction knows the language of a written text."""
    return _coverage(language.code, frozenset(FINDER_LANGUAGES) - _IN_SPEECH_ONLY)


def spoken_coverage(code: str, confidence: float) -> RedactionCoverage:
    """Rate how much of the redaction knows the language that the speech recogniser heard."""
    return _coverage(code if confidence >= _MIN_SPOKEN_CONFIDENCE else "", frozenset(FINDER_LANGUAGES))


_DIALECTS: Final = {
    **dict.fromkeys(("arz", "apc", "ary"), "ar"),
    **dict.fromkeys(("yue", "wuu"), "zh"),
    **dict.fromkeys(("als", "bar", "nds"), "de"),
    "sco": "en",
}
"""Codes of dialects that fastText has of its own, and the language whose finders know their names and numbers."""


def _coverage(code: str, finders: frozenset[str]) -> RedactionCoverage:
    if not code:
        return "unknown"
    code = _DIALECTS.get(code, code)
    knowing = sum(code in FINDER_LANGUAGES[finder] for finder in finders)
    if not knowing:
        return "language_independent"
    return "full" if knowing == len(finders) else "partial"
