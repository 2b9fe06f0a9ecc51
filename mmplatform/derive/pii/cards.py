"""Payment cards: 13 to 19 digits, whatever stands between them.

Written numbers must pass the Luhn test, the one that the contract of passages has. Speech recognition loses and doubles
digits, so that in spoken text the test would let real cards through: there every run of 12 digits or more counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii import context
from mmplatform.derive.pii.digit_groups import Cluster, blotted, clusters
from quality.card_numbers import passes_luhn

_SHORTEST, _LONGEST = 13, 19
_SPOKEN_SHORTEST: Final = 12
_SPOKEN_WITH_CONTEXT: Final = 5
"""So many digits are part of a card when "card" stands before them; the last four alone tell nothing."""

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
    """Spans of card numbers in a plain text."""
    bare = blotted(text)
    for cluster in clusters(bare):
        yield from _spoken(bare, cluster) if spoken else _written(bare, cluster)


def _written(text: str, cluster: Cluster) -> Iterator[tuple[int, int]]:
    behind = -1
    for window in cluster.windows(_SHORTEST, _LONGEST):
        if window.start >= behind and _is_card(text, window, whole=len(window.groups) == len(cluster.groups)):
            yield window.start, window.end
            behind = window.end


def _is_card(text: str, window: Cluster, *, whole: bool) -> bool:
    digits = window.digits
    issued = bool(_ISSUED.fullmatch(digits))
    if not issued and not whole:
        return False
    if not passes_luhn(digits) or len(set(digits)) == 1:
        return False
    if issued:
        return whole or _is_regular(window) or context.is_card(text, window.start)
    if context.is_card(text, window.start):
        return True
    plausible = digits[0] in "23456789" and not _YEAR.match(digits) and not context.is_id(text, window.start)
    return plausible and _is_regular(window)


def _is_regular(window: Cluster) -> bool:
    """Grouped as people write cards, with one kind of separator; a list of numbers is not."""
    if len({gap.strip() for gap in window.gaps}) > 1:
        return False
    shape = window.shape
    fours = all(length == 4 for length in shape[:-1]) and shape[-1] <= 4  # noqa: PLR2004
    return len(shape) == 1 or window.spelled or fours or shape in {(4, 6, 5), (4, 6, 4), (8, 8), (6, 10), (4, 4, 5)}


def _spoken(text: str, cluster: Cluster) -> Iterator[tuple[int, int]]:
    count = len(cluster.digits)
    least = _SPOKEN_WITH_CONTEXT if context.is_card(text, cluster.start) else _SPOKEN_SHORTEST
    if count >= least and not cluster.only_years:
        yield cluster.start, cluster.end
