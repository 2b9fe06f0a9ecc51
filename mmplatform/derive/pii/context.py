"""Context of a number: the words before it classify it as an id, a phone, a card or an SSN."""

from __future__ import annotations

import re
from typing import Final

_CONTEXT_CHARS: Final = 48
"""Characters before a number that are searched for a classifying word."""

_ID_WORD: Final = (
    r"(?:orders?|tickets?|case|invoice|reference|ref|tracking|track|shipment|parcel|package|booking|reservation|"
    r"confirmation|transaction|txn|serial|sku|item|error|build|version|firmware|customer|policy|contract|claim|request|"
    r"rma|imei|isbn|ean|upc|barcode|model|part|session|job|log|user|device|product|article|delivery|return|payment|"
    r"message|event|trace|process|pid|timestamp|id|code|nr|no)"
)
_BEFORE_ID: Final = re.compile(
    rf"(?:\b{_ID_WORD}\b(?:\W{{0,3}}\b(?:number|num|no|nr|id|code|ids|numbers)\b)?"
    r"(?:\W{0,3}\b(?:is|was|are|were|it's|says|reads|of|the|my|for)\b){0,2}[\W_]{0,4}|[#§][\s]?|[A-Za-z0-9][-_]|=)$",
    re.IGNORECASE,
)
_BEFORE_PHONE: Final = re.compile(
    r"\b(?:phone|tel|telephone|mobile|cell|cellphone|whats ?app|fax|sms|text|call|dial|ring|reach|callback|landline|"
    r"handy|hotline|(?:my|his|her|their|your|contact)\s+number)\b[^\d\n]{0,30}$",
    re.IGNORECASE,
)
_BEFORE_CARD: Final = re.compile(
    r"\b(?:card|visa|master ?card|amex|american express|discover|maestro|debit|credit|cc|pan)\b[^\d\n]{0,30}$",
    re.IGNORECASE,
)
_BEFORE_SSN: Final = re.compile(
    r"\b(?:ssn|social|social security|itin|tax id|tin|national insurance)\b[^\d\n]{0,30}$", re.IGNORECASE
)


def follows_id_word(text: str, start: int) -> bool:
    """Check for words right before ``start`` that make a number the id of a thing: ``order no. …``, ``LF-…``."""
    return bool(_BEFORE_ID.search(text[max(0, start - _CONTEXT_CHARS) : start]))


def follows_phone_word(text: str, start: int) -> bool:
    """Check for a telephone word before ``start``."""
    return bool(_BEFORE_PHONE.search(text[max(0, start - _CONTEXT_CHARS) : start]))


def follows_card_word(text: str, start: int) -> bool:
    """Check for a payment card word before ``start``."""
    return bool(_BEFORE_CARD.search(text[max(0, start - _CONTEXT_CHARS) : start]))


def follows_ssn_word(text: str, start: int) -> bool:
    """Check for words of a social security or tax number before ``start``."""
    return bool(_BEFORE_SSN.search(text[max(0, start - _CONTEXT_CHARS) : start]))
