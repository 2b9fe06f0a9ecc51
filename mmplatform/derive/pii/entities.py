"""Kinds of personal data, by the name that replaces a value: ``[CARD]``, ``[EMAIL]`` and others."""

from __future__ import annotations

from typing import Final

ENTITIES: Final = (
    *("CARD", "CVV", "CARD_EXPIRY", "PIN"),
    *("SECRET", "PASSWORD", "ONE_TIME_CODE", "CRYPTO_WALLET"),
    *("IBAN", "BANK_ACCOUNT", "SSN", "NATIONAL_ID", "TAX_ID", "PASSPORT", "DRIVING_LICENCE", "BIRTH_DATE"),
    *("EMAIL", "PHONE", "IP", "HANDLE", "ADDRESS", "PERSON"),
)
"""Entities to find."""

_BEFORE_LABELLED: Final = ("CARD", "SECRET", "PASSWORD", "CRYPTO_WALLET", "EMAIL")
ENTITIES_BY_PRIORITY: Final = (*_BEFORE_LABELLED, *(entity for entity in ENTITIES if entity not in _BEFORE_LABELLED))
"""Entities in the order in which overlapping spans take their name.

An e-mail address comes before numbers with a label: ``rg000000.com`` holds both, and is neither a document nor a code.
"""

NUMBER_ENTITIES: Final = (
    *("CARD", "SSN", "IBAN", "EMAIL", "PHONE", "IP", "HANDLE"),
    *("CVV", "CARD_EXPIRY", "PIN", "PASSWORD", "ONE_TIME_CODE"),
    *("BANK_ACCOUNT", "NATIONAL_ID", "TAX_ID", "PASSPORT", "DRIVING_LICENCE", "BIRTH_DATE", "ADDRESS"),
)
"""Entities to find again after number words were rewritten as digits, and after markup was removed."""

WORDED_ENTITIES: Final = (
    *("SECRET", "PASSWORD", "BANK_ACCOUNT", "BIRTH_DATE", "EMAIL", "HANDLE", "ADDRESS", "PERSON"),
)
"""Entities to find in a text without a digit, as most chats are: every value of another one has digits."""

_FOUND_ALONE: Final = frozenset(("CARD", "IBAN", "EMAIL", "PHONE", "IP"))
TABLE_ENTITIES: Final = (*(entity for entity in NUMBER_ENTITIES if entity not in _FOUND_ALONE), "SECRET", "PERSON")
"""Entities to find again in the cells of a table, each after the header of its column.

Others are found by their shape. Read without the label of its row, the number of an order is a telephone's.
"""

LABELLED_ENTITIES: Final = (*NUMBER_ENTITIES, "SECRET", "PERSON")
"""Entities to find again after mistyped labels were put right, and after broken lines were joined."""
