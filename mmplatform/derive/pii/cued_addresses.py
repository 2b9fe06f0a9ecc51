"""Addresses that a sentence announces (``I live at …``, ``ship it to …``), whatever the street is called.

Many streets end with no word for a street (``7 Orchard Knoll``), so that their shape alone says nothing. After such a
phrase a number with capitalised words is an address. On the typed set of ``benchmarks.pii`` recall of addresses was
.70 without this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.labels import Page

_THINGS: Final = r"(?:(?:it|them|this|that|these|everything|all|both|one|the\s\w{2,12}|my\s\w{2,12})\s){0,2}"
_CUE: Final = re.compile(
    r"(?<!\w)(?:(?:live|lives|living|lived|reside|resides|residing|moved|moving|staying|located)\s(?:now\s)?(?:at|in|on|to)"
    rf"|(?:ship|shipped|deliver|delivered|send|sent|post|posted|mail|mailed|forward|redirect|bring|dispatch)\s{_THINGS}to"
    r"|(?:street|home|shipping|billing|delivery|mailing|postal|residential)\saddress"
    r"|(?:address|adresse|anschrift|dirección|direccion|indirizzo|endereço|adres)\s(?:is|ist|lautet|est|es|è|é)(?:\snow)?"
    r"|(?:wohne|wohnt|wohnen|gezogen)\s(?:jetzt\s)?(?:in|an|am|auf|im|nach)|habit(?:e|ons|ez|ent)(?:\s(?:au|à|aux|dans|sur))?"
    r"|(?:vivo|vive|vivimos|resido)\sen|(?:abito|abita|vivo)\s(?:in|a|al)|(?:moro|mora)\s(?:na|no|em)"
    r"|(?:woon|woont)\s(?:op|in|aan)|mieszkam\s(?:na|przy|w))(?:\s(?:der|dem|den|the|la|le|el|number|no\.|nr\.))?[\s:]{1,3}",
    re.IGNORECASE,
)
_UNIT: Final = (
    r"(?:flat|studio|apartment|apt|unit|suite|room|floor|house|block|building|wohnung|appartement|piso|puerta|interno|"
    r"bât|esc|esc\.|apto)"
)
_PARTICLE: Final = (
    r"(?:de|del|della|di|da|do|dos|das|du|des|la|le|les|los|las|el|l'|d'|der|den|dem|von|vom|zum|zur|am|an|im|of|the|"
    r"van|ter|san|saint|sainte|st|und|y|e|et)"
)
_WORD: Final = r"(?:[^\W\d_a-zà-öø-ÿ][\w'\u2019\-]{0,30}\.?)"
_NUMBER: Final = r"(?:#?\d{1,6}[a-zA-Z]{0,2}(?:[\-/]\d{1,5}[a-z]?)?)"
_STREET: Final = (
    r"(?:rue|avenue|boulevard|chemin|allée|impasse|place|quai|calle|via|viale|piazza|rua|ulica|ul\.|al\.|c/)"
)
_NUMBERED_UNIT: Final = rf"(?i:{_UNIT})\.?\s?#?\w{{1,5}}"
_VALUE: Final = re.compile(
    rf"(?:{_WORD}|{_NUMBERED_UNIT}|{_NUMBER}|{_STREET})"
    rf"(?:,?[ \t]{{1,2}}(?:{_NUMBERED_UNIT}|{_WORD}|{_NUMBER}|{_PARTICLE}(?=\s)|{_STREET}))*"
)
_COUNTED: Final = re.compile(
    r"\s?(?:%|x\b|times?\b|days?\b|hours?\b|weeks?\b|months?\b|years?\b|minutes?\b|people\b|pm\b|am\b|uhr\b|mal\b|"
    r"tagen?\b|stunden?\b|fois\b|jours?\b|veces\b|días?\b)",
    re.IGNORECASE,
)
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_STREET_WORD: Final = re.compile(
    r"(?i)(?<!\w)(?:rue|avenue|boulevard|chemin|allée|impasse|quai|calle|viale|piazza|rua|ulica)(?!\w)|"
    r"(?:straße|strasse|gasse|allee|straat|laan)(?!\w)"
)
_MIN_WORDS: Final = 2


def find_cued_addresses(page: Page) -> Iterator[tuple[int, int]]:
    """Find spans of what follows an announcing phrase, when it has a number and words, or names a street."""
    for cue in _CUE.finditer(page.text):
        match = _VALUE.match(page.text, cue.end())
        if match and _is_address(match):
            yield match.start(), match.start() + len(match[0].rstrip(" ,."))


def _is_address(match: re.Match[str]) -> bool:
    value = match[0]
    if _STREET_WORD.search(value):
        return len(value.split()) >= _MIN_WORDS
    numbers = re.findall(r"\d+", value)
    words = re.findall(r"[^\W\d_]{2,}", value)
    if not numbers or _COUNTED.match(match.string, match.end()):
        return False
    if value[0].isdigit() or re.match(rf"(?i){_UNIT}\b", value):
        return len(words) >= _MIN_WORDS or (bool(words) and len(numbers) > 1)
    # A number at the end: a house after its street, but no year after a town.
    return len(words) >= _MIN_WORDS and not all(_YEAR.fullmatch(number) for number in numbers)
