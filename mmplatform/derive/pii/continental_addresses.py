"""Addresses in the order of the continent of Europe, whatever the street is called: ``Birkenhain 7, 20095 Hamburg``.

Dates, versions and models have the same shape: ``March 3, 2026 Meeting``, ``Galaxy Tab 10 2022 Edition``. A year
needs a word of streets or a cue beside it, and a word that no street has needs a word of streets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.context import follows_thing
from mmplatform.derive.pii.street_words import follows_cue
from mmplatform.derive.pii.vocabulary import NOT_NAMES

_ADDRESS: Final = re.compile(
    r"(?<![\w.\-])(?P<street>(?:[A-ZÀ-Þ][\w'.\-]{1,30} ){0,2}(?P<last>[A-ZÀ-Þ][\w'.\-]{2,30})) "
    r"(?P<house>\d{1,4}) ?[a-zA-Z]?(?:[\-/]\d{1,3}[a-z]?)?"
    r"(?P<gap>,[ ]|[ ]|,?[ ]?\r?\n[ >]{0,4})(?:[A-Z]{1,2}-)?(?P<code>\d{4,5}) "
    r"(?!(?:EUR|USD|GBP|CHF|Euro|Stück|Tage|Punkte|Items|Units|Points|Uhr|PM|AM)\b)"
    r"(?P<town>[A-ZÀ-Þ][^\W\d_][\w\-]{1,24})"
)
_MONTH: Final = re.compile(
    r"(?:jan(?:uary|uar|vier)?|ene(?:ro)?|gennaio|feb(?:ruary|ruar|rero|braio)?|février|mar(?:ch|s|zo)?|märz|apr(?:il|ile)?|"
    r"abr(?:il)?|avril|may|mai|mayo|maggio|june?|juni|juin|junio|giugno|july?|juli|juillet|julio|luglio|"
    r"aug(?:ust)?|août|ago(?:sto)?|sept?(?:ember|embre)?|septiembre|settembre|o[ck]t(?:ober|obre|ubre)?|ottobre|"
    r"nov(?:ember|embre|iembre)?|de[cz](?:ember)?|décembre|diciembre|dicembre)\.?",
    re.IGNORECASE,
)
_STREET_OF_A_DAY: Final = re.compile(r"(?:\b\d{1,2}\.?|\b[IVX]{1,5}|\bde) $")
"""Day before a month in the name of a street: ``Straße des 17. Juni 135``, ``Via XX Settembre 5``."""

_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_STREET_WORD: Final = re.compile(
    r"(?:^|\s)(?:Am|An|Auf|Im|In|Zum|Zur|Unter|Alte[r]?|Neue[r]?|Postfach|Calle|Carrer|Avenida|Avda\.?|Paseo|Plaza|Via|Viale|"
    r"Corso|Piazza|Rue|Avenue|Boulevard|Chemin|Rua|Praça|Ulica|Street|Road)(?=\s)"
    r"|(?:stra(?:ß|ss)e|str\.?|gasse|allee|weg|platz|damm|ufer|steig|graben|chaussee|hof|straat|laan|gracht|kade|dijk|"
    r"plein|singel|dreef|steenweg|gade|vej|gata|gatan|gaten|vägen|veien|katu|tie)(?=\s|$)",
    re.IGNORECASE,
)
_NO_TOWN: Final = NOT_NAMES | {"edition", "meeting", "model", "release", "series", "datacenter", "ultimate", "reports"}


def find_continental_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Find spans from the street to the town."""
    for match in _ADDRESS.finditer(text):
        if not follows_thing(text, match.start("house")) and _is_address(match):
            yield match.span()


def _is_address(match: re.Match[str]) -> bool:
    if _is_date(match):
        return False
    if _STREET_WORD.search(match["street"]):
        return True
    first_words = match["street"].lower().split()[:-1]
    if match["last"].lower() in NOT_NAMES and not _MONTH.fullmatch(match["last"]):
        return False
    has_full_code = len(match["code"]) == len("10115")
    if not NOT_NAMES.isdisjoint(first_words) and not (has_full_code and match["gap"] != " "):
        return False
    if not has_full_code and match["town"].lower() in _NO_TOWN:
        return False
    has_year = _YEAR.fullmatch(match["house"]) or _YEAR.fullmatch(match["code"])
    return not has_year or follows_cue(match.string, match.start())


def _is_date(match: re.Match[str]) -> bool:
    """Check for a month before the number, unless a day before it makes it the name of a street."""
    if not _MONTH.fullmatch(match["last"]):
        return False
    start = match.start("last")
    of_a_day = _STREET_OF_A_DAY.search(match.string, max(0, start - 8), start)
    return of_a_day is None or _YEAR.fullmatch(match["house"]) is not None
