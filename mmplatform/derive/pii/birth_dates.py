"""Birth dates: any shape of a date after a word for birth, written, dictated, or in a form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.labels import Found, Labelled, Page

_MONTHS: Final = (
    r"(?:jan(?:uary|uar|vier|eiro|uari)?|gennaio|enero|ocak|january|stycznia|января|"
    r"feb(?:ruary|ruar|rero|braio|ruari)?|février|fevrier|fevereiro|şubat|subat|lutego|февраля|"
    r"mar(?:ch|s|zo|ço|co|t|ca)?|märz|maerz|maart|марта|"
    r"apr(?:il|ile)?|avril|abril|nisan|kwietnia|апреля|"
    r"may|mai|mayo|maggio|maio|mei|mayıs|mayis|maja|мая|"
    r"june?|juni|juin|junio|giugno|junho|haziran|czerwca|июня|"
    r"july?|juli|juillet|julio|luglio|julho|temmuz|lipca|июля|"
    r"aug(?:ust|ustus)?|août|aout|agosto|ağustos|agustos|sierpnia|августа|"
    r"sept?(?:ember|embre|iembre|tembre)?|settembre|setembro|eylül|eylul|września|wrzesnia|сентября|"
    r"o[ck]t(?:ober|obre|ubre)?|ottobre|outubro|ekim|października|pazdziernika|октября|"
    r"nov(?:ember|embre|iembre|embro)?|kasım|kasim|listopada|ноября|"
    r"de[cz](?:ember|iembre|embro)?|décembre|decembre|dicembre|diciembre|aralık|aralik|grudnia|декабря)"
)
_UNITS: Final = "one|two|three|four|five|six|seven|eight|nine|zero|oh|o"
_NUMERALS: Final = (
    rf"(?:(?:twenty|thirty)[ \-](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|{_UNITS}|"
    r"ten|eleven|twelve|"
    r"thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|"
    r"ninety|"
    r"hundred|thousand|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|"
    r"fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth)"
)
_DIGITS: Final = r"'?\d{1,4}(?!\d)(?:st|nd|rd|th|er|ème|º|ª|°)?"
_PART: Final = rf"(?<![^\W_])(?:{_MONTHS}|{_NUMERALS}|{_DIGITS})(?![^\W_])\.?"
_BETWEEN: Final = r"[\s,./\-]{1,3}(?:(?:of|the|and|de|del|di|do|in|year)\s){0,2}"
_WORDED: Final = rf"(?:{_PART}{_BETWEEN}){{1,8}}{_PART}"
_NUMERIC: Final = (
    r"\d{1,2}[ ]?[/\-._ ][ ]?\d{1,2}[ ]?[/\-._ ][ ]?(?:\d{4}|\d{2})(?!\d)"
    r"|\d{4}[ ]?[/\-._ ][ ]?\d{1,2}[ ]?[/\-._ ][ ]?\d{1,2}(?!\d)"
    r"|\d{4}\s?[年년]\s?\d{1,2}\s?[月월]\s?\d{1,2}\s?[日일]?|\d{8}(?!\d)|\d{6}(?!\d)|\d{1,2}[/.\-]\d{1,2}(?![\d/.\-])"
    r"|\d(?: \d){3,7}(?! ?\d)"
)
_NATIVE_BRIDGE: Final = (
    r"(?:[\s:=|>→#\-,.;(\[{\"'`*_)\]}\\?/~]|</?[a-z!][^<>]{0,80}>|&(?:nbsp|quot);|[是为はがの在于於：]|"
    r"(?<![^\W\d_])(?:is|was|on|in|the|my|your|his|her|it's|its|it|of|that|for|um|uh|er|this|ist|am|den|im|lautet|vom|"
    r"est|le|la|el|es|fue|il|è|nel|em|é|op|het|w|dnia|jest|to|это|a|ai|year|data|day|month|and|year)(?![^\W\d_])"
    r"){0,60}+"
)
_BORN: Final = Labelled(
    """
    dob/d o b/d.o.b/date of birth/birth date/birthdate/birthday/bday/b day/born/born on/birth day/date birth
    geburtsdatum/geburtstag/geboren am/geboren/geb/geb am/date de naissance/né le/née le/né/née/naissance/anniversaire
    fecha de nacimiento/fecha nacimiento/nacido/nacida/nací/nacimiento/cumpleaños/data di nascita/nato il/nata il/nato
    nata/nascita/compleanno/data de nascimento/nascido em/nascida em/nasci em/nascimento/geboortedatum/geboren op
    verjaardag/data urodzenia/urodzony/urodzona/urodziłem się/urodziłam się/ur
    doğum tarihi/doğum tarihim/doğum günü/doğumlu/дата рождения/родился/родилась
    день рождения/出生日期/出生/生日/生年月日/誕生日/생년월일/생일/تاريخ الميلاد/مواليد
    """,
    rf"{_NUMERIC}|{_WORDED}",
    bridge=_NATIVE_BRIDGE,
)
_YEAR_OF_BIRTH: Final = Labelled(
    """
    i was born in/he was born in/she was born in/i am born in/born in the year/year of birth/birth year/geburtsjahr
    jahrgang/année de naissance/año de nacimiento/anno di nascita/ano de nascimento/geboortejaar/rok urodzenia
    dob/date of birth
    """,
    r"(?:19\d\d|20[01]\d)(?![\d/.\-]\d|\d)",
    bridge=_NATIVE_BRIDGE,
)
_LABEL_AFTER: Final = re.compile(
    rf"(?<![\w/.\-])(?P<value>{_NUMERIC}|{_WORDED})\s?(?:\(|,|is|was|as|-|ist|est|es|è)?\s?(?:(?:is\s)?(?:my|his|"
    rf"her|the|mein)\s)?"
    r"(?:dob|d\.o\.b\.?|date of birth|birth ?date|birthday|geburtsdatum|geburtstag|geboren|doğumlu|出生|"
    r"生まれ)(?![a-z])",
    re.IGNORECASE,
)
_DATED: Final = re.compile(rf"(?<![^\W_]){_MONTHS}(?![^\W_])", re.IGNORECASE)
_PARTS: Final = re.compile(rf"{_NUMERALS}|\d+", re.IGNORECASE)
_MIN_PARTS: Final = 3
_YEAR_DIGITS: Final = 4


def find_birth_dates(page: Page) -> Iterator[Found]:
    """Find dates after or before a word for birth, and years of birth."""
    for match in _BORN.find(page):
        if _is_date(match["value"]):
            yield *match.span("value"), "BIRTH_DATE"
    for match in _YEAR_OF_BIRTH.find(page):
        yield *match.span("value"), "BIRTH_DATE"
    if page.holds_any(("dob", "d.o.b", "birth", "geb", "doğumlu", "出生", "生まれ")):
        for match in _LABEL_AFTER.finditer(page.text):
            if _is_date(match["value"]):
                yield *match.span("value"), "BIRTH_DATE"


def _is_date(value: str) -> bool:
    """Check for a month's name beside a number, or for day, month and year as numbers."""
    parts = _PARTS.findall(value)
    if _DATED.search(value):
        return bool(parts)
    digits = sum(map(str.isdigit, value))
    return digits >= _YEAR_DIGITS or len(parts) >= _MIN_PARTS or bool(re.fullmatch(r"\d{1,2}[/.\-]\d{1,2}", value))
