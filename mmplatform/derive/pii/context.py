"""Context of a number: the words before it classify it as an id, a phone, a card or an SSN."""

from __future__ import annotations

import re
from typing import Final

_CONTEXT_CHARS: Final = 120
"""Characters before a number that are searched for a classifying word."""

# Words of a thing: what follows is its number, in whatever groups it is written.
_THING: Final = (
    r"(?:orders?|tickets?|cases?|invoices?|tracking|track|shipments?|parcels?|packages?|consignments?|waybill|awb|"
    r"bookings?|reservations?|confirmation|transactions?|txn|serials?|sku|items?|build|firmware|contract|claim|rma|"
    r"imei|imsi|meid|iccid|eid|sim|isbn|ean|gtin|upc|asin|barcode|models?|parts?|articles?|products?|ups|usps|dhl|"
    r"fedex|dpd|gls|hermes|epoch|timestamp|commit|hash|checksum|uuid|guid|s/n|order[_-]?id|"
    r"bestell\w{0,10}|auftrag\w{0,10}|sendung\w{0,10}|paket\w{0,10}|rechnung\w{0,10}|artikel\w{0,10}|seriennummer|"
    r"commande|facture|colis|suivi|pedido|factura|seguimiento|paquete|env[ií]o|fatura|encomenda|ordine|fattura|pacco|"
    r"spedizione|bestelling|zam[óo]wieni\w{0,3}|przesy[łl]k\w{0,3}|faktur\w{0,4}|заказ\w{0,3}|посылк\w{0,3}|накладн\w{0,4}|"
    r"трек\w{0,4}|счет\w{0,3}|замовленн\w{0,3}|рахун\w{0,4}|παραγγελί\w{0,3}|τιμολόγι\w{0,3}|αποστολή\w{0,2}|δέμα\w{0,3}|"
    r"siparişi?|kargo)"
)
_THING_UNSPACED: Final = (
    r"(?:ऑर्डर|आर्डर|पार्सल|चालान|"
    r"订单|訂單|单号|單號|快递|快遞|运单|發票|发票|序列号|注文|追跡|伝票|シリアル|주문|송장|운송장|طلب|شحنة|فاتورة)"
)
_WEAK_ID: Final = (
    r"(?:reference|ref|error|version|customer|policy|request|session|job|log|user|device|delivery|return|payment|"
    r"message|event|trace|process|pid|id|code|nr|no)"
)
_COUNT_WORD: Final = (
    r"(?:number|numero|número|numéro|nummer|numer|num|nr|no|id|code|ids|numbers|n[°º]|номер\w{0,2}|号码?|番号|번호)"
)
_LINK: Final = (
    r"(?:\W{0,3}(?:\b(?:is|was|are|were|it's|says|reads|of|the|my|for|this|your|new|with|ist|lautet|est|es|é|de|la|"
    r"device|phone|tracking|reference)\b|是|为|は)){0,3}"
)
_GAP: Final = r"(?:[\W_]{0,4}|[ \t.:|\"']{5,80})"
_TAIL: Final = rf"(?:\W{{0,3}}(?:\b{_COUNT_WORD}|(?<=\W){_COUNT_WORD}|号码?|番号|번호)(?!\w))?{_LINK}{_GAP}"
_BEFORE_THING: Final = re.compile(
    rf"(?:\b{_THING}(?:['\u2019]s)?(?![^\W\d_])|{_THING_UNSPACED}){_TAIL}$", re.IGNORECASE
)
_BEFORE_ID: Final = re.compile(
    rf"(?:(?:\b(?:{_THING}|{_WEAK_ID})\b|{_THING_UNSPACED}){_TAIL}|[#§]\s?|[A-Za-z0-9][-_]|=)$", re.IGNORECASE
)
_BEFORE_PHONE: Final = re.compile(
    r"(?:\b(?:phone|tel|tlf|tfno|telephone|mobile|cell|cellphone|whats ?app|fax|sms|text|call|dial|ring|"
    r"reach|callback|landline|handy\w{0,8}|hotline|(?:my|his|her|their|your|contact)\s+(?:number|no|nr|num)|telefon\w{0,8}|rückruf|t[ée]l[ée]phone|portable|"
    r"appele[rz]|tel[ée]fono|m[óo]vil|celular|(?<!\bme )ll[áa]m\w{1,6}|telefone|"
    r"telem[óo]vel|ligue|cellulare|(?<!\bmi )chiam\w{1,6}|telefoon|"
    r"mobiel|bel|телефон\w{0,3}|тел|мобильн\w{1,3}|позвон\w{1,5}|звон\w{1,5}|cep)\b"
    r"|电话|電話|手机|手機|拨打|致电|携帯|전화|휴대폰|هاتف|جوال|موبايل|फोन|फ़ोन|मोबाइल|โทร)[^\d\n]{0,30}$",
    re.IGNORECASE,
)
# A word at the start of the next line, before "=" or ":", or before a number, is the label of another value.
_AFTER_PHONE: Final = re.compile(
    r"[\s,;)(\-\u2013]{1,3}(?:is|was)\s(?:my|the|his|her|our)\s(?:new\s)?(?:phone|mobile|cell|telephone|contact|home|work)"
    r"|[ \t,;)(\-\u2013]{1,3}(?:mobile|cell|tel|phone|fax|m[óo]vil|handy|telefon\w?)\b"
    r"(?![\"']?[ \t]?[=:]|(?:[ \t]{1,40}|[ \t](?:number|no\.?)[ \t])[+(]?\d)",
    re.IGNORECASE,
)
_CARD: Final = (
    r"(?:(?<!\bsim )(?<!\bsd )(?<!memory )(?<!graphics )(?<!video )(?<!sound )(?<!network )(?<!business )"
    r"\b(?:cards?|kort|carte|tarjeta|karte|cart[ãa]o|carta|kaart|karta|kart\w{1,3}|\w{0,10}kart(?:e|en|ennummer)|"
    r"cardnumber|visa|master ?card|amex|american express|discover|maestro|diners|jcb|unionpay|rupay|mir|debit|credit|"
    r"cc|pan|карт\w{1,3})\b|卡号|信用卡|银行卡|卡片|カード|카드|بطاقة|कार्ड|บัตร)"
)
_BEFORE_CARD: Final = re.compile(rf"{_CARD}[^\d\n]{{0,30}}$", re.IGNORECASE)
_AFTER_CARD: Final = re.compile(
    rf"[\s,.;:)\-]{{0,4}}(?:(?:is|was|on|for|my|the|our|a|that|ist|meine|est|es|ma|mi|и|это|моя)\s){{0,3}}{_CARD}",
    re.IGNORECASE,
)
_SSN_WORD: Final = (
    r"(?<![^\W_])(?:ssn|ss ?#|s\.s\.n\.?|soc(?:ial)?[ ._-]?sec(?:urity)?|itin|tax id|tin|national insurance"
    r"|social(?! (?:media|network|post|account|worker|event|distanc|page|app|login|link|proof|welfare)))(?![^\W_])"
)
_BEFORE_SSN: Final = re.compile(rf"{_SSN_WORD}(?:[^\d\n]|(?<!\d)\d{{4}}(?=\)|,)|\n(?=\s*\d)){{0,40}}$", re.IGNORECASE)
_AFTER_SSN: Final = re.compile(
    r"[\s,;(\-\u2013]{1,3}(?:(?:is|was|as|being|that's|for|it's|should be)\s)?(?:(?:my|the|his|her|our|their|your)\s)?"
    rf"{_SSN_WORD}",
    re.IGNORECASE,
)


_TAGS: Final = re.compile(r"(?:\s*</?[a-z][^<>]{0,80}>)+\s*", re.IGNORECASE)
_ROW_TAG: Final = re.compile(r"</?(?:tr|table|dl|ul|ol|body)\b", re.IGNORECASE)
_ROW_END: Final = "\n" * 6
"""Longer than any gap between a word and its number: a label belongs to its own row."""

_CODE_PREFIX: Final = re.compile(r"(?<![^\W_])[A-Z]{2,6}[-_](?:\d{1,8}[-_]){0,2}$")


def _before(text: str, start: int) -> str:
    """Cut out what stands before a number, without markup: ``Invoice</td><td>`` reads ``Invoice``."""
    before = text[max(0, start - _CONTEXT_CHARS) : start]
    if "<" not in before:
        return before
    return _TAGS.sub(lambda tags: _ROW_END if _ROW_TAG.search(tags[0]) else " ", before)


def follows_code_prefix(text: str, start: int) -> bool:
    """Check for the letters of a code right before ``start``: ``ORD-2026-``, ``LF-``."""
    return bool(_CODE_PREFIX.search(text[max(0, start - 30) : start]))


def follows_id_word(text: str, start: int) -> bool:
    """Check for words right before ``start`` that make a number the id of a thing: ``user id …``, ``LF-…``."""
    return bool(_BEFORE_ID.search(_before(text, start)))


def follows_thing(text: str, start: int) -> bool:
    """Check for the name of a thing that has a number right before ``start``: an order, a parcel, a SIM."""
    return bool(_BEFORE_THING.search(_before(text, start)))


def follows_phone_word(text: str, start: int) -> bool:
    """Check for a telephone word before ``start``."""
    return bool(_BEFORE_PHONE.search(_before(text, start)))


def is_near_phone_word(text: str, start: int, end: int) -> bool:
    """Check for a telephone word before ``start`` or right after ``end``."""
    return follows_phone_word(text, start) or bool(_AFTER_PHONE.match(text[end : end + _CONTEXT_CHARS]))


def follows_card_word(text: str, start: int) -> bool:
    """Check for a payment card word before ``start``."""
    return bool(_BEFORE_CARD.search(_before(text, start)))


def is_near_card_word(text: str, start: int, end: int) -> bool:
    """Check for a payment card word before ``start`` or right after ``end``."""
    return follows_card_word(text, start) or bool(_AFTER_CARD.match(text[end : end + _CONTEXT_CHARS]))


def is_near_ssn_word(text: str, start: int, end: int) -> bool:
    """Check for words of a social security or tax number before ``start`` or right after ``end``."""
    return bool(_BEFORE_SSN.search(_before(text, start)) or _AFTER_SSN.match(text[end : end + _CONTEXT_CHARS]))
