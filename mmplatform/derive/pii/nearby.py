"""Security codes and PINs in one sentence with a phrase that names them, with ordinary words between.

:mod:`mmplatform.derive.pii.labels` finds a value right beside its label. People also write "I typed 4471 as my PIN" and
"the CVV, if you need it, is 482". Here the number may be up to twelve words away, unless one of them says that it
counts something else, or it stands before the phrase with words of a closed list between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii import context
from mmplatform.derive.pii.labels import END_OF_DIGITS, Found, Page
from mmplatform.derive.pii.near_phrases import (
    AT_A_MACHINE,
    CODE_HINTS,
    CODE_PHRASES,
    MACHINE_HINTS,
    PIN_HINTS,
    PIN_PHRASES,
)

_NO_SIGN_BEFORE: Final = r"(?<![0-9a-z_\u00c0-\u052f\u0600-\u06ff.,:/\-#$€£+%&=\x01])(?<![$€£#\d]\s)"
_NO_UNIT_AFTER: Final = (
    rf"{END_OF_DIGITS}(?![ ]\d\d)(?!\s?(?:[€$£%°]|(?:cm|mm|km|kg|mg|ml|gb|mb|tb|px|kb|rpm|ms|kwh|watts?|volts?|units?|"
    r"pieces?|pcs|copies|screws|points?|miles|metres?|meters?|inch(?:es)?|feet|steps|pages|friends|employees|members|stück|euro|rub|руб\w*|yen|"
    r"yuan|rupees|pesos|francs|元|円|원)(?![^\W_])))"
)
_GAP: Final = r"(?P<gap>(?:[^\d\x01]|(?<![\d.,])\d{1,2}(?![\d.,:/\-])){0,70}?)"
_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_SENTENCE_END: Final = re.compile(r"[.!?;:\u3002\uff1f\uff01]+(?=\s|$|[\u3040-\u9fff])|\n+")
_CLAUSE_END: Final = re.compile(
    r"[,;.!?\n\u3001\u3002\uff0c]|(?<![^\W_])(?:and|but|so|when|because|while|then|since|und|aber|weil|wenn|et|mais|quand|y|"
    r"pero|ma|mas|maar|ale|и|но)(?![^\W_])",
    re.IGNORECASE,
)
_COPULA_AT_END: Final = re.compile(
    r"(?:[:=]|(?<![^\W_])(?:is|was|are|be|reads|says|ist|lautet|sind|war|est|sont|es|son|è|sono|é|são|to|это))\s*$",
    re.IGNORECASE,
)
_MAX_WORDS: Final = 12
_MAX_ANSWER_WORDS: Final = 4


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OF_ANOTHER: Final = _words(
    """
    error errors status http fault exception crash version release build firmware model type series page line row step
    option chapter section figure room floor gate seat extension ext order orders ticket tickets case cases invoice
    parcel shipment tracking booking reservation reference ref amount total sum balance price cost costs fee fees charge
    charged charges pay paid payment refund refunded refunds withdraw withdrew withdrawal spent spend bought sold worth
    ends ending ended end finishing year years since zip zipcode postcode postal area phone tel telephone fax sms call
    called dial team size weight height length width team units pieces pad box field turned seconds attempts users
    connector socket plug adapter board badge post pinned atm port ports screws machine limit minimum maximum failed
    fehler fehlercode bestellung rechnung ticketnummer betrag kosten gekostet endet ende jahr seit raum seite modell
    erreur commande facture montant coût payé finit termine année depuis modèle
    pedido factura importe cuesta pagué termina año desde ordine fattura importo pagato finisce anno
    encomenda fatura valor paguei terminada ano desde bestelling factuur bedrag betaald eindigt jaar sinds
    zamówienie faktura kwota kończy rok заказ счет счёт сумма ошибка год заканчивается
    """
)
"""Words between a phrase and a number that say what else the number is."""

_ANSWERS: Final = _words(
    """
    it it's its that that's this this's i i'm mine here here's still namely is also es das ich hier nämlich c'est
    c'était voici il elle je es son aquí yo è ecco io é aqui eu het dit ik to mój это вот
    """
)
"""First words of a sentence that answers the one before: "You asked for the CVV. It is …"."""

_BETWEEN: Final = (
    r"(?:[\s,()\"'\-\u2013\u2014=:]|(?<![^\W_])(?:is|was|are|be|been|being|as|for|into|in|on|at|to|under|of|it|that|that's|this|which|what|my|"
    r"your|the|a|our|his|her|their|new|old|current|right|correct|wrong|same|actual|valid|card's|card|debit|credit|visa|bank|i|"
    r"always|had|have|has|use|used|entered|enter|gave|give|typed|set|would|should|must|could|printed|written|shown|displayed|"
    r"there|behind|here|"
    r"ist|war|als|die|der|das|meine?r?|deine?r?|neue|alte|ein|est|comme|mon|ma|le|la|mes|es|como|mi|el|su|è|come|il|mio|é|o|meu|"
    r"jest|jako|mój|mijn|de|это|мой)(?![^\W_])){1,60}"
)
_AND: Final = (
    r"[\s,]{1,2}(?:(?:to|or|and|not|then|now|but|the|my|new|old|one|is|was|maybe|also|auf|zu|oder|und|nicht|neue|ist|ou|et|la|est|"
    r"o|y|a|è|e|на|и|или)[\s,]{1,2}){1,6}"
)
"""Words between two numbers of one kind: "the old one was … and the new one is …"."""

_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_BEFORE_YEAR: Final = re.compile(
    r"(?<![^\W_])(?:in|for|since|until|till|by|from|of|before|after|during|year|early|late|mid|end|beginning|spring|summer|autumn|"
    r"fall|winter|jan\w*|feb\w*|mar\w*|apr\w*|may|june?|july?|aug\w*|sep\w*|oct\w*|nov\w*|dec\w*|seit|im|jahr|en|depuis|desde|"
    r"nel|dal|em|w|od|в|с)\s?,?\s?$",
    re.IGNORECASE,
)
_OTHER_BEFORE: Final = re.compile(
    r"(?<![^\W_])(?:after|about|around|over|under|nearly|almost|than|ordered|bought|paid|sold|spent|costs?|charged|"
    r"withdrew|ending(?: in| with)?|ends (?:in|with)|endet auf|finit par|termina en|"
    r"room|with|team|usd|eur|gbp|rs\.?|inr|chf)\s$",
    re.IGNORECASE,
)
_CONTEXT_CHARS: Final = 24


class _Announced:
    """A kind of short number: phrases, their hints, and how many digits it has."""

    def __init__(self, entity: str, phrases: str, hints: tuple[str, ...], min_digits: int, max_digits: int) -> None:
        digits = rf"\d{{{min_digits},{max_digits}}}|\d(?:[ \-]\d){{{min_digits - 1},{max_digits - 1}}}|\d\d[ \-]\d\d"
        value = rf"{_NO_SIGN_BEFORE}(?P<value>{digits}){_NO_UNIT_AFTER}"
        self._again = re.compile(rf"{_AND}{value}", re.IGNORECASE)
        self.entity, self._hints = entity, hints
        self._after = re.compile(rf"{phrases}{_GAP}{value}", re.IGNORECASE)
        self._before = re.compile(rf"{value}{_BETWEEN}(?P<phrase>{phrases})(?!\s?pad\b)", re.IGNORECASE)

    def find(self, page: Page) -> Iterator[tuple[int, int]]:
        """Yield spans of values after and before a phrase."""
        if not page.holds_any(self._hints):
            return
        for match in self._after.finditer(page.text):
            if _links(match["gap"]) and _is_own_number(page.text, match) and not _is_social(page, match.start()):
                yield match.span("value")
                again = self._again.match(page.text, match.end("value"))
                if again and len(again["value"]) == len(match["value"]):
                    yield again.span("value")
        for match in self._before.finditer(page.text):
            if _is_own_number(page.text, match) and not _is_social(page, match.start("phrase")):
                yield match.span("value")


_KINDS: Final = (
    _Announced("CVV", CODE_PHRASES, CODE_HINTS, 3, 4),
    _Announced("PIN", PIN_PHRASES, PIN_HINTS, 4, 8),
)
_AT_A_MACHINE: Final = re.compile(AT_A_MACHINE, re.IGNORECASE)
_THREE_DIGITS: Final = re.compile(r"\d{3}", re.ASCII)


def find_nearby_codes(page: Page) -> Iterator[Found]:
    """Find security codes and PINs that a phrase of the same sentence announces."""
    if not _THREE_DIGITS.search(page.text):
        return
    for kind in _KINDS:
        for start, end in kind.find(page):
            yield start, end, kind.entity
    if page.holds_any(MACHINE_HINTS):
        for match in _AT_A_MACHINE.finditer(page.text):
            yield *match.span(match.lastgroup or 0), "PIN"


def _links(gap: str) -> bool:
    """Check that the words between a phrase and a number leave the number to the phrase."""
    if len(_WORD.findall(gap)) > _MAX_WORDS:
        return False
    clauses = _CLAUSE_END.split(gap)
    one_clause = len(clauses) == 1 and _COPULA_AT_END.search(gap)  # "the CVV for the payment is"
    if not one_clause and not _OF_ANOTHER.isdisjoint(word.lower() for word in _WORD.findall(clauses[-1])):
        return False
    sentences = _SENTENCE_END.split(gap)
    if len(sentences) == 1:
        return True
    answer = [word.lower() for word in _WORD.findall(sentences[-1])]
    return len(sentences) == 2 and (not answer or (answer[0] in _ANSWERS and len(answer) <= _MAX_ANSWER_WORDS))  # noqa: PLR2004


def _is_own_number(text: str, match: re.Match[str]) -> bool:
    """Check that a number is no year, no amount and no number of a thing."""
    start = match.start("value")
    before = text[max(0, start - _CONTEXT_CHARS) : start]
    if _YEAR.fullmatch(match["value"]) and _BEFORE_YEAR.search(before):
        return False
    return not _OTHER_BEFORE.search(before) and not context.follows_thing(text, start)


def _is_social(page: Page, start: int) -> bool:
    return page.lowered.endswith("social ", 0, start)
