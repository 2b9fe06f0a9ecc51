"""Street addresses: number, street and, where it follows, flat, town and postal code, by each country's order.

Presidio has no recognizer of addresses, only places that its language model knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from mmplatform.derive.pii.coded_addresses import find_coded_addresses
from mmplatform.derive.pii.cued_addresses import find_cued_addresses
from mmplatform.derive.pii.labels import Found, Page
from mmplatform.derive.pii.local_streets import find_local_streets
from mmplatform.derive.pii.street_words import (
    CAPITALS_SUFFICE,
    COMMON_IN_SMALL,
    DOUBTFUL_TYPES,
    NO_STREET_WORD,
    SURE_TYPES,
    follows_cue,
    follows_preposition,
)
from mmplatform.derive.pii.vocabulary import NOT_NAMES

_NUMBER: Final = r"(?<![\w.,$€£:/#\-])(?:no\.? ?)?(?:\d(?: \d){1,4}|\d{1,5}(?:[\-/]\d{1,4})?[a-z]?)(?![\w.:%$€£])"
_WORD: Final = rf"(?:(?!(?:{NO_STREET_WORD})(?![\w]))[^\W\d_][\w'.\-]{{0,20}}|\d{{1,3}}(?:st|nd|rd|th))"
_STREET: Final = re.compile(
    rf"{_NUMBER},? (?P<name>{_WORD}(?: {_WORD}){{0,3}}?) (?P<type>{SURE_TYPES}|{DOUBTFUL_TYPES})(?![\w'])"
    r"(?:(?<=\W\w\w)\.|(?<=\W\w{3})\.|(?<=blvd)\.|(?<=pkwy)\.|(?<=gdns)\.|(?<=cres)\.)?"
    r"(?: (?:north|south|east|west|ne|nw|se|sw|n|s|e|w)(?![\w']))?",
    re.IGNORECASE,
)
_NUMBERED: Final = re.compile(  # 1600 Broadway, 12 Avenue C, 350 5th
    rf"{_NUMBER},? (?-i:Broadway|Avenue [A-Z]|Highway \d{{1,4}}|Route \d{{1,4}}|County Road \d{{1,4}})(?![\w'])",
    re.IGNORECASE,
)
_UK_CODE: Final = r"(?:gir ?0aa|[a-pr-uwyz][a-hk-y]?\d[a-hjkpstuw\d]?(?<!\d\d\d) ?\d[abd-hjlnp-uw-z]{2})"
_US_CODE: Final = r"\d{5}(?:-\d{4})?"
_CA_CODE: Final = r"[abceghj-nprstvxy]\d[abceghj-nprstv-z][ \-]?\d[abceghj-nprstv-z]\d"
_CODE: Final = (
    rf"(?:{_UK_CODE}|{_CA_CODE}|{_US_CODE}|(?-i:NSW|VIC|QLD|WA|SA|TAS|ACT|NT) \d{{4}}|\d(?: \d){{4}})(?![\w])"
)
_UNIT: Final = (
    r"(?:[,\s]{1,3}(?:apt|apartment|unit|suite|ste|flat|floor|fl|room|rm|building|bldg|block|#|no)\.?\s?#?\s?"
    r"(?:\d{1,5}[a-z]?|[a-z](?:-?\d{1,4})?|\w{1,3}-\d{1,4})(?![\w]))?"
)
_TOWN_AND_CODE: Final = re.compile(
    rf"{_UNIT}(?:[,\s]{{1,3}}(?!(?:and|but|the|my|is|was|order)\b)[^\W\d_][\w.'\-]*){{0,5}}?[,\s]{{1,3}}{_CODE}"
    r"(?:[,\s]{1,2}(?:usa|u\.s\.a\.|united states|uk|united kingdom|england|scotland|wales|canada|australia)(?!\w))?",
    re.IGNORECASE,
)
_ONLY_UNIT: Final = re.compile(_UNIT, re.IGNORECASE)
_TOWN: Final = re.compile(r",\s?(?P<town>[A-Z][\w'\-]+(?: [A-Z][\w'\-]+){0,2})(?=[,.;\n)]|\s*$|\s[a-z])")

_PO_BOX: Final = re.compile(
    r"(?<!\w)(?:p\.?\s?o\.?\s?box|post office box|postfach|postbus|apartado(?: de correos)?|casella postale|"
    r"caixa postal|"
    r"boîte postale|boite postale|skrytka pocztowa|а/я)"
    r"\s{0,2}(?:no\.?\s?|nr\.?\s?|number\s|#\s?|:\s?)?\d[\d ]{0,8}(?<=\d)(?!\d)"
    r"(?:,?\s(?:D-)?\d{4,5}\s[^\W\d_][\w\-]+)?",
    re.IGNORECASE,
)
_LABEL: Final = re.compile(
    r"(?<!\bip )(?<!\bmail )(?<!\bmac )(?<!\bwallet )(?<!\bweb )(?<!\burl )(?<!\bemail )(?<!\bbtc )(?<![\w@])"
    r"(?:(?:street|home|shipping|billing|delivery|mailing|postal|residential|ship[\s_\-]?to|work|new|current)[\s_\-]?)?"
    r"(?:address(?:[\s_\-]?line)?[\s_\-]?\d?|anschrift|lieferadresse|rechnungsadresse|adresse|dirección|direccion|"
    r"indirizzo|"
    r"endereço|endereco|adres|adresi|адрес|(?:ship|deliver|send|bill)[\s_\-]?to|(?:street|straße|strasse|calle|rue|via|"
    r"ulica|улица|sokak)(?=[\"'*`]{0,2}\s{0,2}[:=|\t]|[\"'*`]{0,2}\s{3})|地址|住址|住所|주소|العنوان)"
    r"(?:\s?\([^()\n]{0,20}\))?"
    r"[\"'*`]{0,2}\s{0,2}(?P<join>[:=|：]|\.{3}|\t|\s{3}|\n|"
    r"\s(?:is|was|lautet|ist|est|es|è|é)(?: now)?:?\s|[是はがは])[\s|\"'*`:.]{0,120}"
    r"(?P<value>[^\n|\"<>\x01]{4,140})",
    re.IGNORECASE,
)
_VALUE_END: Final = re.compile(
    r"\s(?:and (?:my|the|i|please|it|we)|but|please|can you|could|so that|because|thanks|thank|is|was|it|which|when|"
    r"phone|"
    r"tel|email|e-mail|order|aber|bitte|und)\b|[!?;]|\.\s+(?=[A-Z][a-z])|\s{3}",
    re.IGNORECASE,
)
_NO_ADDRESS: Final = re.compile(
    r"(?:same|wrong|see|not|invalid|missing|incorrect|unknown|n/a|none|changed|different|old|field|https?:|www\.|"
    r"bar|book|"
    r"the|this|it|your|my|our|for|error|0x|\[|line|on)\b|[^\s]*@",
    re.IGNORECASE,
)
_LIVE_AT: Final = re.compile(
    rf"\b(?:live|lives|living|lived|reside|resides|moved) (?:now )?(?:at|to|in) (?:number )?(?P<value>"
    rf"\d{{1,5}}[a-z]? (?!(?:{NO_STREET_WORD})\b)[^\W\d_][\w'\-]*"
    rf"(?: (?!(?:and|but|so|now|with|since|for|please|because|i)\b)[^\W\d_][\w'\-]*){{0,4}})",
    re.IGNORECASE,
)
_POSTCODE: Final = re.compile(
    rf"\b(?:post ?code|postal code)(?:\s(?:is|was))?\s?[:=]?\s{{0,3}}(?P<value>{_UK_CODE}|{_CA_CODE})(?!\w)",
    re.IGNORECASE,
)
_LABEL_HINTS: Final = (
    *("address", "adres", "anschrift", "direcc", "indirizzo", "endere", "адрес", "ship to", "deliver to"),
    *(
        "shipto",
        "ship_to",
        "ship-to",
        "deliver",
        "send to",
        "bill to",
        "bill_to",
        "street",
        "stra",
        "calle",
        "rue",
        "via",
        "ulica",
    ),
    *("地址", "住址", "住所", "주소", "العنوان"),
)
_UNIT_BEFORE: Final = re.compile(
    r"(?<!\w)(?:flat|studio|apt|apartment|unit|suite|room|house|building)\.?\s?#?(?:\s?\w{1,5}(?:,\s?|\s|/))?$",
    re.IGNORECASE,
)
_YEAR_OF_TALK: Final = re.compile(r"\b(?:in|since|until|by|from|of|before|after)\s(?:19|20)\d\d\b", re.IGNORECASE)
_NO_TOWN: Final = NOT_NAMES - {"new", "march", "may"}
_MAX_TOWNS: Final = 3


def find_addresses(page: Page) -> Iterator[Found]:
    """Find addresses by their shape, and what stands after a word for address when it holds a number."""
    spans = [find_cued_addresses(page)]
    if any(map(str.isdigit, page.text)):
        spans += [_streets(page.text), find_local_streets(page), _post_boxes(page), _labelled(page)]
        spans.append(find_coded_addresses(page.text))
    for start, end in chain.from_iterable(spans):
        yield start, end, "ADDRESS"


def _streets(text: str) -> Iterator[tuple[int, int]]:
    for match in chain(_STREET.finditer(text), _NUMBERED.finditer(text)):
        start, end = match.span()
        if _YEAR_OF_TALK.match(text, max(0, text.rfind(" ", 0, max(0, start - 1)) + 1)):
            continue
        unit = _UNIT_BEFORE.search(text, max(0, start - 24), start)
        start = unit.start() if unit else start
        tail = _TOWN_AND_CODE.match(text, end)
        if tail is None and not _is_street(text, match):
            continue
        if tail:
            yield start, tail.end()
            continue
        unit_after = _ONLY_UNIT.match(text, end)
        yield start, _towns_end(text, unit_after.end() if unit_after else end)


def _is_street(text: str, match: re.Match[str]) -> bool:
    groups = match.groupdict()
    kind = groups.get("type", "")
    if not kind or kind.lower() in SURE_TYPES.split("|"):
        return True
    named = all(word[0].isupper() or word[0].isdigit() for word in groups["name"].split())
    rare = kind.lower() in CAPITALS_SUFFICE and (kind[0].isupper() or kind not in COMMON_IN_SMALL)
    if named and rare and kind[0].isupper():
        return True
    if follows_cue(text, match.start()):
        return True
    stands_out = rare or (
        named and kind[0].isupper() and (_TOWN.match(text, match.end()) or text[match.end() :].strip() == "")
    )
    return bool(stands_out) and follows_preposition(text, match.start())


def _towns_end(text: str, end: int) -> int:
    for _ in range(_MAX_TOWNS):
        town = _TOWN.match(text, end)
        if not town or town["town"].split()[0].lower() in _NO_TOWN:
            break
        end = town.end("town")
    return end


def _post_boxes(page: Page) -> Iterator[tuple[int, int]]:
    if page.holds_any(("box", "post", "apartado", "casella", "caixa", "skrytka", "а/я", "boîte", "boite")):
        for match in chain(_PO_BOX.finditer(page.text), _POSTCODE.finditer(page.text)):
            start, end = match.span("value") if "value" in match.re.groupindex else match.span()
            tail = _TOWN_AND_CODE.match(page.text, end)
            yield start, tail.end() if tail else end


def _labelled(page: Page) -> Iterator[tuple[int, int]]:
    text = page.text
    if page.holds_any(_LABEL_HINTS):
        for match in _LABEL.finditer(text):
            value = match["value"]
            ending = _VALUE_END.search(value)
            value = value[: ending.start()] if ending else value
            value = value.rstrip(" ,.;:")
            if _is_address(value, stated=match["join"].strip().isalpha()):
                yield match.start("value"), match.start("value") + len(value)
    if page.holds_any(("live", "living", "reside", "moved")):
        for match in _LIVE_AT.finditer(text):
            tail = _TOWN_AND_CODE.match(text, match.end("value"))
            yield match.start("value"), tail.end() if tail else match.end("value")


def _is_address(value: str, *, stated: bool) -> bool:
    """Check for a number and a word, and that an address ``stated`` in a sentence begins with one of them."""
    if _NO_ADDRESS.match(value) or not any(map(str.isdigit, value)) or not re.search(r"[^\W\d_]{2}", value):
        return False
    return not stated or value[0].isdigit() or value[0].isupper() or not value[0].isascii()
