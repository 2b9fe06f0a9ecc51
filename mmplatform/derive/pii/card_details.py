"""Details of a card beside its number: security code, expiry, and the PIN that belongs to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.cards import find_cards
from mmplatform.derive.pii.labels import END_OF_DIGITS, Found, Labelled, Page
from quality.card_numbers import passes_luhn

_MONTH_NAME: Final = (
    r"(?:jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|février|mar(?:ch|s)?|märz|apr(?:il)?|avril|may|mai|june?|juni|juin|"
    r"july?|juli|juillet|aug(?:ust)?|août|sept?(?:ember|embre)?|o[ck]t(?:ober|obre)?|nov(?:ember|embre)?|"
    r"de[cz](?:ember)?|décembre)"
)
_YEAR: Final = r"(?:20[2-4]\d|2[3-9]|3\d|4[0-5])"
_SPACED_YEAR: Final = r"(?:2[ ]?0[ ]?[2-4][ ]?\d|2[ ]?[3-9]|3[ ]?\d|4[ ]?[0-5])"
_DATED: Final = rf"(?:0?[1-9]|1[0-2])[ ]{{0,2}}(?:[/\-.\\|]|slash|stroke)[ ]{{0,2}}'?{_YEAR}"
_EXPIRY: Final = (
    rf"(?:{_DATED}|(?:0[ ]?[1-9]|1[ ]?[0-2]|[1-9]) (?:slash|stroke) {_SPACED_YEAR}"
    rf"|(?:0[ ]?[1-9]|1[ ]?[0-2]|[1-9])[ ]{{1,2}}'?{_SPACED_YEAR}|(?:0[1-9]|1[0-2]){_YEAR}"
    rf"|{_YEAR}[/\-.](?:0[1-9]|1[0-2])"
    rf"|{_MONTH_NAME}\.?[ ,/\-]{{0,3}}(?:of )?'?{_SPACED_YEAR})"
)
_EXPIRY_END: Final = r"(?![\d]|[/.\-:]\d|[ ]?%)"

_CVV: Final = Labelled(
    """
    cvv/cvc/cvv2/cvc2/cvn/csc/cv2/c v v/c v c/cvv code/cvc code/see vee vee/see vee see/card verification value
    card verification code/card verification number/card security code/security code/security number
    security digits/three digit code/3 digit code/four digit code on the front/code on the back
    digits on the back/numbers on the back/number on the back/last three digits on the back
    behind the signature strip/signature strip
    behind the signature/on the signature strip/on the signature panel/on the reverse/on the rear/prüfziffer
    prüfnummer/kartenprüfnummer/sicherheitscode/cryptogramme visuel/cryptogramme/code de sécurité
    código de seguridad/código de segurança/codice di sicurezza/beveiligingscode/kod zabezpieczający/kod cvv
    güvenlik kodu/код безопасности/цвв/安全码/安全碼/セキュリティコード/رمز الأمان
    """,
    rf"\d(?:[ \-]?\d){{2,3}}{END_OF_DIGITS}",
)
_PIN: Final = Labelled(
    """
    pin/p i n/pin code/pin number/pincode/card pin/geheimzahl/geheimnummer/code secret/code pin/código pin/nip
    codice pin/pincode/kod pin/pin kodu/пин/пин код/暗証番号/取款密码/支付密码/الرقم السري
    """,
    rf"(?<!\bin )(?<!\bfor )\d(?:[ \-]?\d){{3,7}}{END_OF_DIGITS}",
)
_EXPIRES: Final = Labelled(
    """
    exp/expiry/expires/expiring/expire/expiration/expiry date/expiration date/exp date/expires on/expires in
    expires end/valid thru/valid through/valid until/valid till/valid to/good thru/good through
    good until/good till/runs until
    runs out/mm yy/mm yyyy
    gültig bis/ablaufdatum/läuft ab/verfallsdatum/date d'expiration/expire le/expire en/expire fin
    valable jusqu'au/fecha de caducidad/fecha de vencimiento/caduca/caducidad/vence/vencimiento/scadenza
    data di scadenza/scade/validade/data de validade/vervaldatum/geldig tot/data ważności/ważna do
    son kullanma tarihi/son kullanma/срок действия/действует до/有效期/有効期限/انتهاء الصلاحية
    """,
    rf"{_EXPIRY}{_EXPIRY_END}",
)
_THING_THAT_EXPIRES: Final = re.compile(
    r"\b(?:coupons?|vouchers?|offers?|promo\w*|discounts?|deals?|subscriptions?|trial|warranty|guarantee|licen[cs]es?|plans?|"
    r"memberships?|tokens?|certificates?|certs?|ssl|links?|sessions?|points|quotes?|domains?|contracts?|passes|tickets?|"
    r"milk|food|gutschein\w*|angebot\w*|abo\w*|offre|oferta|cupón|garantie|garantía)\b[^.!?\n]{0,40}$",
    re.IGNORECASE,
)
_CARD_NEAR: Final = re.compile(
    r"\b(?:cards?|visa|master ?card|amex|cvv|cvc|debit|credit|karte|carte|tarjeta|carta|cartão|kaart)\b|"
    r"\d(?:[ \-]?\d){12}",
    re.IGNORECASE,
)

_BEFORE_LABEL: Final = re.compile(
    r"(?<![\w.,:/\-])(?P<value>\d{3,8})\s(?:is|was|are|=|ist|est|es|è|é)\s(?:the|my|your|his|her|our|its?|mein|mi|mon|le|la|il)"
    r"(?:\s(?:card|visa|debit|credit|bank|atm|three digit|3 digit|karten))?\s?(?:'s\s)?"
    r"(?:(?P<cvv>cvv2?|cvc2?|csc|c v v|c v c|security code|number on the back|code on the back)|(?P<pin>pin))\b"
    r"(?!\s(?:pad|field|box))",
    re.IGNORECASE,
)
_TYPED_AS_PIN: Final = re.compile(
    r"(?<![\w.,:/\-])(?P<value>\d{4,8})(?![\w.:/\-])[^.!?\n\d]{0,30}\b(?:as|for) (?:my|the|his|her|our) pin\b",
    re.IGNORECASE,
)
_SHORT_WORDS: Final = (
    r"(?:(?!(?:order|ticket|case|ref|zip|total|amount|invoice)\b)[a-z]{1,10}[\d]?\.?[:#=\s]{1,3}){1,3}"
)
"""Labels in any words between the number, the expiry and the code: they always come in this order."""

_AFTER_CARD: Final = re.compile(
    rf"(?<!\d)(?P<card>(?:\d[ \-.]?){{12,18}}\d)[\s,;|/:(\-]{{1,6}}(?:{_SHORT_WORDS})?(?P<expiry>{_DATED})"
    rf"(?!\d)(?:(?:[\s,;|/:\-]{{1,6}})(?:{_SHORT_WORDS})?(?P<cvv>\d{{3,4}}){END_OF_DIGITS})?",
    re.IGNORECASE,
)
_CVV_AFTER_CARD: Final = re.compile(
    r"(?<!\d)(?P<card>(?:\d{4}[ \-]?){3}\d{4})(?:[\s]{0,2}[,;|/:][\s]{0,2}|\s{1,3})"
    rf"(?P<cvv>\d{{3}})(?!\s?\d){END_OF_DIGITS}",
    re.IGNORECASE,
)
_CODE_AFTER_EXPIRY: Final = re.compile(
    r"[\s,;|/&:\-]{1,6}(?:(?:and|und|et|y|e|with|plus|then|the|code)\s){0,3}"
    rf"(?P<cvv>\d{{3}}){END_OF_DIGITS}",
    re.IGNORECASE,
)
_AFTER_ANY_CARD: Final = re.compile(
    rf"[\s,;|/:(\-]{{1,6}}(?:(?:{_SHORT_WORDS})?(?P<expiry>{_DATED})(?!\d)[\s,;|/:\-)&]{{1,6}}(?:{_SHORT_WORDS})?"
    r"|(?:(?:and|with|the|my|on|sec|security|verification|ver|val|code|back|digits|three|number|is)\.?[\s:#=,]{1,3}){0,5})"
    rf"(?P<cvv>\d{{3}}){END_OF_DIGITS}",
    re.IGNORECASE,
)
"""Behind a card number: the expiry and the code, or words for the code that are too common alone."""

_MANY_DIGITS: Final = re.compile(r"\d(?:\D{0,6}\d){12}")


def find_card_details(page: Page) -> Iterator[Found]:
    """Find security codes, expiry dates and PINs after or before their label, or right behind a card number."""
    for match in _CVV.find(page):
        if not page.lowered.endswith("social ", 0, match.start()):
            yield *match.span("value"), "CVV"
    for match in _PIN.find(page):
        yield *match.span("value"), "PIN"
    yield from _expiries(page)
    if page.holds_any(("cvv", "cvc", "csc", "c v v", "c v c", "security code", "on the back", "pin")):
        for match in _BEFORE_LABEL.finditer(page.text):
            yield *match.span("value"), "CVV" if match["cvv"] else "PIN"
        for match in _TYPED_AS_PIN.finditer(page.text):
            yield *match.span("value"), "PIN"
    if _MANY_DIGITS.search(page.text):
        yield from _after_card(page.text)


def _expiries(page: Page) -> Iterator[Found]:
    for match in _EXPIRES.find(page):
        start = match.start()
        of_thing = _THING_THAT_EXPIRES.search(page.text, max(0, start - 60), start)
        if not of_thing or _CARD_NEAR.search(page.text, max(0, start - 60), start):
            yield *match.span("value"), "CARD_EXPIRY"
            code = _CODE_AFTER_EXPIRY.match(page.text, match.end("value"))
            if code and not of_thing:
                yield *code.span("cvv"), "CVV"


def _after_card(text: str) -> Iterator[Found]:
    for match in _AFTER_CARD.finditer(text):
        if _is_card(match["card"]):
            yield *match.span("expiry"), "CARD_EXPIRY"
            if match["cvv"]:
                yield *match.span("cvv"), "CVV"
    for match in _CVV_AFTER_CARD.finditer(text):
        if _is_card(match["card"]):
            yield *match.span("cvv"), "CVV"
    for _, end in find_cards(text, spoken=False):
        details = _AFTER_ANY_CARD.match(text, end)
        if details:
            yield *details.span("cvv"), "CVV"
            if details["expiry"]:
                yield *details.span("expiry"), "CARD_EXPIRY"


def _is_card(text: str) -> bool:
    return passes_luhn("".join(filter(str.isdigit, text)))
