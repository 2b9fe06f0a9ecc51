"""Addresses that a postal code ends, whatever the street is called: ``14 The Beeches, Little Snoring NR21 0AA``.

The code is searched for first, since few texts have one; the street begins at a number some words before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from mmplatform.derive.pii.context import follows_id_word
from mmplatform.derive.pii.continental_addresses import find_continental_addresses
from mmplatform.derive.pii.street_words import DOUBTFUL_TYPES, NO_STREET_WORD, SURE_TYPES, follows_cue

_STATES: Final = (
    "ak|az|ar|ca|ct|dc|fl|ga|il|ks|ky|md|mi|mn|ms|mo|mt|ne|nv|nh|nj|nm|ny|nc|nd|ri|sc|sd|tn|tx|ut|vt|wa|wv|wi|wy|"
    "(?-i:AL|CO|DE|IA|IN|LA|MA|ME|PA|VA)|(?-i:(?<=, )(?:HI|ID|OH|OK|OR))|"
    "alabama|alaska|arizona|arkansas|california|colorado|connecticut|delaware|florida|georgia|hawaii|idaho|illinois|indiana|"
    "iowa|kansas|kentucky|louisiana|maine|maryland|massachusetts|michigan|minnesota|mississippi|missouri|montana|nebraska|"
    "nevada|new hampshire|new jersey|new mexico|new york|north carolina|north dakota|ohio|oklahoma|oregon|pennsylvania|"
    "rhode island|south carolina|south dakota|tennessee|texas|utah|vermont|virginia|washington|west virginia|"
    "wisconsin|wyoming"
)
"""States of the United States; abbreviations that are words too count in capitals only, some after a comma only."""

_CODE: Final = re.compile(
    rf"(?<![\w\-])(?:(?:{_STATES})[ ,]{{1,2}}\d{{5}}(?:-\d{{4}})?"
    r"|(?:gir ?0aa|[a-pr-uwyz][a-hk-y]?\d[a-hjkpstuw\d]? \d[abd-hjlnp-uw-z]{2})"
    r"|(?-i:[A-PR-UWYZ][A-HK-Y]?\d[A-HJKPSTUW\d]?\d[ABD-HJLNP-UW-Z]{2})"
    r"|[abceghj-nprstvxy]\d[abceghj-nprstv-z] \d[abceghj-nprstv-z]\d"
    r"|(?-i:NSW|VIC|QLD|SA|TAS|ACT|NT|WA) \d{4})(?![\w\-])",
    re.IGNORECASE,
)
_TOWN_AND_CODE: Final = re.compile(
    rf"(?<=[,\n] )(?!(?i:{NO_STREET_WORD}|order|ticket|invoice|case|error|batch|series|release|edition|size|colou?r)\b)"
    r"[A-Z][\w'.\-]{1,24}(?: [A-Z][\w'.\-]{1,24}){0,3} (?P<code>\d{5})(?:-\d{4})?(?![\w\-])"
)
_GAP: Final = r"(?:,?[ ]{0,4}\r?\n[ >]{0,4}|[ ]?[\-/|][ ]?|\.[ ]|,[ ]?|[ ]{1,2})"
_UNIT: Final = (
    r"(?:apt|apartment|unit|suite|ste|flat|studio|floor|fl|room|rm|building|bldg|block|lot|level|#)"
    r"(?:\.?[ ]?#?(?=\w{0,4}\d)\w{1,5}|(?:\.[ ]?#?|[ ]#?|#)[a-z]{1,2})(?!\w)"
)
"""Flat or floor: its value has a digit, or is a letter or two that stand apart, so that ``flat`` is not ``fl at``."""

_WORD: Final = rf"(?!(?:{NO_STREET_WORD}|order|ticket)(?!\w)(?<!(?-i:The)))[^\W\d_][\w'\u2019.]{{0,24}}"
_STREET: Final = (
    rf"(?<![\w.,$€£:/#\-])(?:{_UNIT}{_GAP})?(?:\d{{1,6}}[a-z]?(?:-\d{{1,4}})?{_GAP}|(?<=[ \n]){_UNIT}{_GAP})"
    rf"(?P<words>(?>(?:{_UNIT}|{_WORD}){_GAP}){{least,9}})$"
)
"""Number and words; a word is read in one way only, or repeated units would take exponential time."""

_BEFORE_CODE: Final = re.compile(_STREET.replace("least", "2"), re.IGNORECASE)
_BEFORE_TOWN: Final = re.compile(_STREET.replace("least", "1"), re.IGNORECASE)
_LEADING_STATE: Final = re.compile(rf"(?:{_STATES})[ ]", re.IGNORECASE)
_STREET_TYPE: Final = re.compile(rf"(?<!\w)(?:{SURE_TYPES}|{DOUBTFUL_TYPES})(?![\w'])", re.IGNORECASE)
_UNITS: Final = re.compile(rf"(?<!\w){_UNIT}", re.IGNORECASE)
_LETTERS: Final = re.compile(r"[^\W\d_]{2,}")
_HINT: Final = re.compile(r"\d{4}|[A-Za-z]\d")
_MAX_STREET_CHARS: Final = 110
_MAX_CODES: Final = 1000
"""Codes of a text that are examined; a long text of nothing but codes would hold up a worker."""


def find_coded_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Find spans from the house number to the postal code."""
    if not _HINT.search(text):
        return
    for code in islice(chain(_CODE.finditer(text), _TOWN_AND_CODE.finditer(text)), _MAX_CODES):
        first = max(0, code.start() - _MAX_STREET_CHARS)
        before = _BEFORE_TOWN if code.re is _TOWN_AND_CODE else _BEFORE_CODE
        street = before.search(text[first : code.start()])
        if street and (code.re is _CODE or _is_town(code, street["words"], first + street.start())):
            yield first + street.start(), code.end()
    yield from find_continental_addresses(text)


def _is_town(code: re.Match[str], words: str, start: int) -> bool:
    """Check that a town and five digits end an address, and are no thing with its number: ``3 Widgets, Part 12345``."""
    if _LEADING_STATE.match(code[0]):
        return True
    if follows_id_word(code.string, code.start("code")):
        return False
    named = len(_LETTERS.findall(_UNITS.sub("", words))) > 1
    return named or _STREET_TYPE.search(words) is not None or follows_cue(code.string, start)
