"""Payment cards: 13 to 19 digits, with any separators between them.

Written numbers must pass the same Luhn test as the contract of passages. Speech recognition loses and doubles digits,
so in spoken text that test would miss real cards: there every run of 12 digits or more counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii import context
from mmplatform.derive.pii.digit_groups import DigitCluster, find_clusters, mask_harmless
from quality.card_numbers import passes_luhn

_MIN_DIGITS, _MAX_DIGITS = 13, 19
_MIN_SPOKEN_DIGITS: Final = 12
_MIN_SPOKEN_DIGITS_IN_CONTEXT: Final = 5
"""Minimum after the word "card"; the last four digits alone identify nothing."""

# Issuers' ranges with the lengths that they use (ISO/IEC 7812 and the networks' own tables).
_ISSUED: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard, both series
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|09|6\d|[89]\d)\d{11,16}"  # Diners
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    r"|(?:6011|64[4-9]\d|65\d\d|62\d\d|81\d\d)\d{12,15}"  # Discover, UnionPay
    r"|220[0-4]\d{12,15}|9792\d{12}"  # Mir, Troy
    r"|(?:50|5[6-9]|6\d)\d{11,17}"  # Maestro
)
_YEAR: Final = re.compile(r"(?:19|20)\d\d")


def find_cards(text: str, *, spoken: bool) -> Iterator[tuple[int, int]]:
    """Find spans of card numbers in a plain text."""
    masked = mask_harmless(text)
    for cluster in find_clusters(masked):
        yield from _spoken_cards(masked, cluster) if spoken else _written_cards(masked, cluster)


def _written_cards(text: str, cluster: DigitCluster) -> Iterator[tuple[int, int]]:
    after = -1
    for window in cluster.windows(_MIN_DIGITS, _MAX_DIGITS):
        if window.start >= after and _is_card(text, window, is_whole=len(window.groups) == len(cluster.groups)):
            yield window.start, window.end
            after = window.end


def _is_card(text: str, window: DigitCluster, *, is_whole: bool) -> bool:
    digits = window.digits
    issued = bool(_ISSUED.fullmatch(digits))
    if not issued and not is_whole:
        return False
    if not passes_luhn(digits) or len(set(digits)) == 1:
        return False
    if issued:
        return is_whole or _is_regular(window) or context.follows_card_word(text, window.start)
    if context.follows_card_word(text, window.start):
        return True
    plausible = digits[0] in "23456789" and not _YEAR.match(digits) and not context.follows_id_word(text, window.start)
    return plausible and _is_regular(window)


def _is_regular(window: DigitCluster) -> bool:
    """Check that digits are grouped as on cards, with one kind of separator, unlike a list of numbers."""
    if len({gap.strip() for gap in window.gaps}) > 1:
        return False
    shape = window.shape
    fours = all(length == 4 for length in shape[:-1]) and shape[-1] <= 4  # noqa: PLR2004
    return len(shape) == 1 or window.spelled or fours or shape in {(4, 6, 5), (4, 6, 4), (8, 8), (6, 10), (4, 4, 5)}


def _spoken_cards(text: str, cluster: DigitCluster) -> Iterator[tuple[int, int]]:
    count = len(cluster.digits)
    min_digits = _MIN_SPOKEN_DIGITS_IN_CONTEXT if context.follows_card_word(text, cluster.start) else _MIN_SPOKEN_DIGITS
    if count >= min_digits and not cluster.only_years:
        yield cluster.start, cluster.end
