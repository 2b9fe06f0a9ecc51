"""Street addresses in the orders of the continent of Europe, Latin America, Russia, Turkey and East Asia."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from mmplatform.derive.pii.labels import Page
from mmplatform.derive.pii.street_words import follows_cue
from mmplatform.derive.pii.vocabulary import NOT_NAMES

_NO_QUANTITY: Final = (
    r"(?!\d)(?!\s?(?:days?|hours?|times?|x|weeks?|%|minutes?|mins?|tage|stunden|km|m|jours|fois|días|veces|euros?|€|"
    r"\$)(?!\w))"
    r"(?![.,:]\d)"
)
_HOUSE: Final = rf"\d{{1,4}}(?:\s?[a-z](?![\w]))?(?:\s?[\-/]\s?\d{{1,4}}[a-z]?(?![\w]))?{_NO_QUANTITY}"
_TOWN: Final = (
    r"[^\W\d_][\w.\-]+(?:[ \-](?:am|an der|im|la|le|de|del|di|da|do|den|sur|sous|aan|bei|(?-i:[A-Z][\w.\-]+))){0,3}"
)
_CODE_AND_TOWN: Final = (
    rf"(?:[,\s]{{1,4}}(?:[a-z]{{1,2}}-)?\d{{4,5}}(?:-\d{{3}})?(?:\s[a-z]{{2}}(?![\w]))?,?\s{_TOWN}|"
    rf"[,\s]{{1,4}}\d\d-\d{{3}}\s{_TOWN})"
)
_NO_PART: Final = (
    r"(?:in|an|auf|bei|der|die|das|dem|den|zur|zum|ich|wir|wohne|wohnen|wohnt|ist|sind|von|nach|und|aus|lautet|"
    r"soll|bitte)"
)
"""Words that stand before the name of a street, and are no part of it."""

_GERMAN: Final = re.compile(
    rf"(?<!\w)(?:(?!{_NO_PART} )[a-zäöüß][\w.\-]*[ \-]){{0,2}}?"
    rf"(?:[a-zäöüß][\w\-]{{1,30}}(?:straße|strasse|str\.|gasse|allee|"
    rf"chaussee)|[a-zäöüß][\w\-]{{1,40}}-(?:ring|weg|platz|damm|ufer|allee|gasse|str\.?)|"
    rf"[a-zäöüß][\w\-]{{1,20}} (?:straße|strasse|str\.|allee|chaussee|platz|weg|ring))\s{{0,2}}(?:nr\.?\s?)?{_HOUSE}"
    rf"{_CODE_AND_TOWN}?",
    re.IGNORECASE,
)
_GERMAN_DOUBTFUL: Final = re.compile(
    rf"(?<!\w)(?:[A-ZÄÖÜ][\w\-]{{2,30}}(?:str|weg|platz|ring|damm|ufer|steig|stieg|markt|graben|wall|tor|höhe)|"
    rf"(?:Am|An der|An den|Auf dem|Auf der|Im|In der|In den|Unter den|Zum|Zur|Alte|Alter|Neuer|Neue|Hinter der|"
    rf"Vor dem) "
    rf"[A-ZÄÖÜ][\w\-]+)\s{{1,2}}(?:Nr\.?\s?)?{_HOUSE}(?P<tail>(?i:{_CODE_AND_TOWN}))?"
)
_NO_STREET: Final = re.compile(
    r"(?i)(?:arbeits|stell|park|sitz|steck|start|lager|listen|speicher|dritter|erster)(?:platz|ring)|artikel|umweg"
)
_DUTCH: Final = re.compile(
    rf"(?<!\w)(?:[a-z][\w\-']*\s){{0,2}}?[a-z][\w\-']{{1,30}}(?:straat|laan|gracht|kade|dijk|plein|singel|dreef|"
    rf"steeg|weg|hof)\s"
    rf"\d{{1,4}}(?:[ \-]?(?:[a-z]|i{{1,3}}|"
    rf"\d{{1,3}})(?![\w]))?{_NO_QUANTITY}(?P<tail>,?\s{{1,2}}\d{{4}}\s?[a-z]{{2}}(?![\w])(?:,?\s{_TOWN})?)?",
    re.IGNORECASE,
)
_DUTCH_CODED: Final = re.compile(
    r"(?<!\w)[A-Z][\w'\-]+(?: [\w'\-]+){0,2} \d{1,4}(?: ?[a-zA-Z]|-\d{1,3})?,?\s"
    rf"(?P<tail>(?!19|20)\d{{4}} ?(?!AM|PM|EU|US|UK|[KMGT]B|KG|CM)[A-Z]{{2}},?\s(?-i:[A-Z]){_TOWN})"
)
_PARTICLES: Final = (
    r"(?:de la|de las|de los|de l'|della|dello|delle|degli|dei|dell'|del|des|du|de|da|das|dos|do|di|d'|la|le|les|"
    r"los|l'|san|santa|sant'|saint|sainte)"
)
_NAME: Final = (
    rf"(?:{_PARTICLES}[ ']?)?[^\W\d_][\w'.\-]{{0,24}}(?: (?:{_PARTICLES}\s?)?[^\W\d_][\w'.\-]{{0,24}}){{0,4}}?"
)
_FRENCH: Final = re.compile(
    rf"(?<![\w.,$€£:/#\-])\d{{1,4}}\s?(?:bis|ter|quater|[a-d](?= ))?,?\s(?:(?:rue|boulevard|bd|bld|chemin|allée|"
    rf"impasse|quai|"
    rf"ruelle|faubourg|sentier)\s|(?:avenue|av\.|place|route|cours|square|passage|villa|allee)\s(?={_PARTICLES}[ ']|"
    rf"(?-i:[A-Z])))"
    rf"(?P<name>{_NAME})(?=[,.;\n]|\s*$|\s\d{{5}}|\s(?:à|a|et|in|in Paris|and|please|but)\s|\s\()"
    rf"(?:{_CODE_AND_TOWN})?(?:\s(?:à|in)\s(?-i:[A-Z])[\w\-]+)?",
    re.IGNORECASE,
)
_ROMANCE: Final = re.compile(
    rf"(?<![\w/.])(?P<kind>calle|callejón|callejon|c/|c\.|cl\.|glorieta|vial|acceso|pasaje|cuesta|rambla|urbanización|avenida|avda\.?|av\.|plaza|pza\.?|paseo|pso\.|camino|carretera|ctra\.|"
    rf"ronda|travesía|"
    rf"carrer|rua|travessa|alameda|largo|praça|praca|estrada|rodovia|viale|via|v\.le|piazza|p\.zza|p\.za|corso|"
    rf"vicolo|strada|"
    rf"lungotevere|contrada|ul\.|ulica|aleja|al\.|os\.|pl\.)(?:(?<=[./])\s?|"
    rf"\s)(?P<name>{_NAME}),?\s(?:n[.º°o]{{0,2}}\s?|núm\.?\s?|"
    rf"num\.?\s?)?"
    rf"(?:{_HOUSE}|s/n)(?:[,\s]{{1,3}}(?:\d{{1,2}}\s?[º°ªoa]\.?\s?(?:[a-z]|izq\w*|dcha\w*|centro)?(?![\w])|"
    rf"m\.?\s?\d{{1,3}}|(?:apto|apt|puerta|pta|piso|esc|escalera|bloque|local|interno|int|sala|bloco|bl)\.?\s\w{{1,5}})){{0,3}}"
    rf"(?P<tail>{_CODE_AND_TOWN})?(?:,\s(?-i:[A-Z])[^\W\d_]+(?=[,.;\n]|\s*$))?",
    re.IGNORECASE,
)
_ENGLISH_TOO: Final = frozenset(
    {"via", "plaza", "largo", "corso", "strada", "ronda", "camino", "al.", "os.", "pl.", "alameda", "contrada"}
)
_RUSSIAN: Final = re.compile(
    r"(?:(?:г\.?\s?|город\s)?[А-ЯЁ][а-яё\-]+,\s)?(?<!\w)(?:ул\.|ул|улица|улице|пр-т|пр\.|проспект|просп\.|пер\.|"
    r"переулок|бульвар|б-р|наб\.|"
    r"набережная|шоссе|ш\.|площадь|пл\.)\s?[А-ЯЁа-яё\d\-][\w\-]+(?:\s[А-ЯЁа-яё][\w\-]+){0,2}?,?\s(?:д\.?\s?|"
    r"дом\s)?\d{1,4}[а-яa-z]?"
    r"(?:/\d{1,3})?(?:,?\s(?:кв|корп|стр|к|квартира|корпус|под|эт)\.?\s?\d{1,4}){0,3}",
    re.IGNORECASE,
)
_TURKISH: Final = re.compile(
    r"(?:[^\W\d_][\w.]*\s){1,3}(?:sokak|sokağı|sok\.|sk\.|caddesi|cad\.|cd\.|bulvarı|blv\.|mahallesi|mah\.)"
    r"(?:[,\s]{1,2}(?:[^\W\d_][\w.]*\s){1,3}(?:sokak|sokağı|sok\.|sk\.|caddesi|cad\.|cd\.|bulvarı))?[,\s]{1,2}(?:no|"
    r"nu|numara)?[.:\s]{0,2}"
    r"\d{1,4}(?:\s?/\s?\d{1,3})?(?:[,\s]{1,2}(?:daire|d|"
    r"kat)[.:\s]{0,2}\d{1,3}){0,2}(?:[,\s]{1,2}(?:\d{5}\s)?[A-ZÇĞİÖŞÜ]\w+/[A-ZÇĞİÖŞÜ]\w+)?",
    re.IGNORECASE,
)
_CHINESE: Final = re.compile(
    r"[\u4e00-\u9fff]{2,24}(?:路|街|道|巷|弄|胡同|大道|里|村|小区|花园)[\u4e00-\u9fff]{0,2}\s?\d{1,5}\s?(?:号|號|弄|"
    r"栋|幢)"
    r"(?:[\u4e00-\u9fff]{0,8}[\dA-Za-z]{1,5}(?:室|楼|層|层|单元|栋|幢|号|座)){0,4}"
)
_JAPANESE: Final = re.compile(
    r"(?:〒?\s?\d{3}-\d{4}\s?)?[\u4e00-\u9fff]{2,3}[都道府県][\u3005\u3040-\u30ff\u4e00-\u9fffヶ]{1,16}?[\d]{1,4}(?:丁目|番地?|号|-|"
    r"の|"
    r"\d){1,10}"
    r"(?:[\u3040-\u30ff\u4e00-\u9fffA-Za-z\s]{0,16}\d{1,4}号?室?)?|〒\s?\d{3}-?\d{4}"
)
_KOREAN: Final = re.compile(
    r"(?:[\uac00-\ud7af]+[시도구군]\s){0,3}[\uac00-\ud7af\d]+(?:로|"
    r"길)\s?\d{1,4}(?:-\d{1,4})?(?:번길)?(?:\s?\d{1,4})?(?:,?\s?\d{1,4}[동호])*"
)
_ARABIC: Final = re.compile(
    r"(?:شارع|طريق|حي)\s[\u0600-\u06ff][\u0600-\u06ff\s]{1,40}?[،,\s]{1,3}(?:رقم|مبنى|عمارة)?\s?\d{1,5}|"
    r"\d{1,5}\s?(?:شارع|طريق)\s[\u0600-\u06ff]{2,20}(?:\s[\u0600-\u06ff]{2,20})?"
)
_SCRIPTS: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = (
    (("ул", "пр", "пер", "бульвар", "шоссе", "наб", "площад"), _RUSSIAN),
    (("sok", "cad", "bulvar", "mah", "sk.", "cd."), _TURKISH),
    (("路", "街", "道", "巷", "弄", "胡同", "村", "小区", "花园"), _CHINESE),
    (("都", "道", "府", "県", "〒"), _JAPANESE),
    (("로", "길"), _KOREAN),
    (("شارع", "طريق", "حي "), _ARABIC),
)
_ROMANCE_HINTS: Final = (
    *(
        "calle",
        "c.",
        "glorieta",
        "vial",
        "acceso",
        "pasaje",
        "cuesta",
        "rambla",
        "urbaniz",
        "c/",
        "cl.",
        "avenida",
        "avda",
        "av.",
        "plaza",
        "pza",
        "paseo",
        "pso.",
        "camino",
        "carretera",
        "ctra.",
        "ronda",
    ),
    *(
        "traves",
        "carrer",
        "rua",
        "alameda",
        "largo",
        "praça",
        "praca",
        "estrada",
        "rodovia",
        "via",
        "v.le",
        "piazza",
        "p.z",
    ),
    *("corso", "vicolo", "strada", "lungotevere", "contrada", "ul.", "ulica", "aleja", "al.", "os.", "pl."),
)
_FRENCH_HINTS: Final = ("rue", "boulevard", "bd", "bld", "chemin", "allée", "impasse", "quai", "avenue", "av.", "place")
_MORE_FRENCH: Final = ("route", "cours", "square", "passage", "villa", "allee", "faubourg", "ruelle", "sentier")
_GERMAN_HINTS: Final = ("straße", "strasse", "str.", "gasse", "allee", "chaussee", "platz", "weg", "ring")
_MORE_GERMAN: Final = (
    *("str", "weg", "platz", "ring", "damm", "ufer", "steig", "stieg", "markt", "graben", "wall", "tor", "höhe"),
    *("am ", "an de", "auf de", "im ", "in de", "unter de", "zum ", "zur ", "alte", "neue", "hinter", "vor de"),
)
_DUTCH_HINTS: Final = ("straat", "laan", "gracht", "kade", "dijk", "plein", "singel", "dreef", "steeg", "weg", "hof")
_SURE_DUTCH: Final = re.compile(r"(?i)(?:straat|laan|gracht|kade|dijk|plein|singel|dreef|steeg)\s")


def _is_german(match: re.Match[str]) -> bool:
    return not _NO_STREET.search(match[0])


def _is_doubtful_german(match: re.Match[str]) -> bool:
    return _is_german(match) and (match["tail"] is not None or follows_cue(match.string, match.start()))


def _is_dutch(match: re.Match[str]) -> bool:
    return match["tail"] is not None or _SURE_DUTCH.search(match[0]) is not None


_GERMANIC: Final[tuple[tuple[tuple[str, ...], re.Pattern[str], Callable[[re.Match[str]], bool]], ...]] = (
    (_GERMAN_HINTS, _GERMAN, _is_german),
    (_MORE_GERMAN, _GERMAN_DOUBTFUL, _is_doubtful_german),
    (_DUTCH_HINTS, _DUTCH, _is_dutch),
    (("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"), _DUTCH_CODED, _is_dutch),
)


def find_local_streets(page: Page) -> Iterator[tuple[int, int]]:
    """Find spans of addresses whose street is not English."""
    for words, pattern, accept in _GERMANIC:
        if page.holds_any(words):
            for match in pattern.finditer(page.text):
                if accept(match):
                    yield match.span()
    yield from _romance_streets(page)
    if not page.text.isascii():
        for hints, script in _SCRIPTS:
            if page.holds_any(hints):
                for match in script.finditer(page.text):
                    yield match.span()


def _romance_streets(page: Page) -> Iterator[tuple[int, int]]:
    text = page.text
    if page.holds_any(_FRENCH_HINTS) or page.holds_any(_MORE_FRENCH):
        for match in _FRENCH.finditer(text):
            yield match.span()
    if page.holds_any(_ROMANCE_HINTS):
        for match in _ROMANCE.finditer(text):
            first = match["name"].split()[0]
            doubtful = match["kind"].lower() in _ENGLISH_TOO and (not match["name"][0].isupper() or first.isupper())
            if match["tail"] or not (doubtful or first.lower() in NOT_NAMES):
                yield match.span()
