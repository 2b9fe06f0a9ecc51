"""What stands before a number tells what it is: an order's, a person's, a card's."""

from __future__ import annotations

import re
from typing import Final

_REACH: Final = 48
"""Characters before a number in which a word can explain it."""

_ID_WORD: Final = (
    r"(?:orders?|tickets?|case|invoice|reference|ref|tracking|track|shipment|parcel|package|booking|reservation|"
    r"confirmation|transaction|txn|serial|sku|item|error|build|version|firmware|customer|policy|contract|claim|request|"
    r"rma|imei|isbn|ean|upc|barcode|model|part|session|job|log|user|device|product|article|delivery|return|payment|"
    r"message|event|trace|process|pid|timestamp|id|code|nr|no)"
)
_AN_ID: Final = re.compile(
    rf"(?:\b{_ID_WORD}\b(?:\W{{0,3}}\b(?:number|num|no|nr|id|code|ids|numbers)\b)?"
    r"(?:\W{0,3}\b(?:is|was|are|were|it's|says|reads|of|the|my|for)\b){0,2}[\W_]{0,4}|[#§][\s]?|[A-Za-z0-9][-_]|=)$",
    re.IGNORECASE,
)
_A_PHONE: Final = re.compile(
    r"\b(?:phone|tel|telephone|mobile|cell|cellphone|whats ?app|fax|sms|text|call|dial|ring|reach|callback|landline|"
    r"handy|hotline|(?:my|his|her|their|your|contact)\s+number)\b[^\d\n]{0,30}$",
    re.IGNORECASE,
)
_A_CARD: Final = re.compile(
    r"\b(?:card|visa|master ?card|amex|american express|discover|maestro|debit|credit|cc|pan)\b[^\d\n]{0,30}$",
    re.IGNORECASE,
)
_A_SOCIAL: Final = re.compile(
    r"\b(?:ssn|social|social security|itin|tax id|tin|national insurance)\b[^\d\n]{0,30}$", re.IGNORECASE
)


def is_id(text: str, start: int) -> bool:
    """Whether the words right before ``start`` make a number an identifier of a thing: ``order no. …``, ``LF-…``."""
    return bool(_AN_ID.search(text[max(0, start - _REACH) : start]))


def is_phone(text: str, start: int) -> bool:
    """Whether the words before ``start`` speak of a telephone."""
    return bool(_A_PHONE.search(text[max(0, start - _REACH) : start]))


def is_card(text: str, start: int) -> bool:
    """Whether the words before ``start`` speak of a payment card."""
    return bool(_A_CARD.search(text[max(0, start - _REACH) : start]))


def is_social(text: str, start: int) -> bool:
    """Whether the words before ``start`` speak of a social security or tax number."""
    return bool(_A_SOCIAL.search(text[max(0, start - _REACH) : start]))
