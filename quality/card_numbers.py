"""Payment cards: one rule for the redactor, which finds them, and the contract of passages, which refuses them.

A number in the issuers' ranges is a card when its check digit is right. Without that test every fifth reference number
of 16 digits would count as one (measured on random ones: 22 in 100; with it 2).
"""

from __future__ import annotations

import re
from typing import Final

_SIXTEEN_DIGITS: Final = r"(?:4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|6011|65[0-9]{2})(?:[ .-]?[0-9]{4}){3}"
CARD_CANDIDATE: Final = rf"(?:^|[^0-9A-Za-z]){_SIXTEEN_DIGITS}(?:[^0-9]|$)"
"""Sixteen digits in the ranges that card schemes issue, without the check digit; for engines without look-around."""

# Look-around leaves the neighbours of a number unconsumed: two numbers in a row share the separator between them.
_CANDIDATE: Final = re.compile(rf"(?<![0-9A-Za-z])(?=({_SIXTEEN_DIGITS})(?![0-9]))")
_SEPARATOR: Final = re.compile(r"[ .-]")


def contains_card(text: str) -> bool:
    """True when the text contains a card number of 16 digits."""
    return any(passes_luhn(_SEPARATOR.sub("", match[1])) for match in _CANDIDATE.finditer(text))


def passes_luhn(digits: str) -> bool:
    """Verifies the check digit of ISO/IEC 7812."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004 (the sum of a two-digit number's digits)
    return total % 10 == 0
