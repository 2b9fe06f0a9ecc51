"""Telephone numbers. A phone format suffices; bare digits need context, because order numbers look the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import phonenumbers

from mmplatform.derive.pii import context
from mmplatform.derive.pii.digit_groups import DigitCluster, find_clusters, mask_harmless

_NORTH_AMERICA: Final = re.compile(r"1?[2-9]\d\d[2-9]\d{6}")
_SHAPES: Final = frozenset(
    {(3, 3, 4), (1, 3, 3, 4), (3, 7), (6, 4), (1, 10), (1, 6, 4), (1, 3, 7), (3, 3, 2, 2), (1, 3, 3, 2, 2)}
)
_TRUNK_REGIONS: Final = ("GB", "DE", "FR", "IT", "NL", "AU", "IE", "BE", "CH", "AT", "SE", "JP", "IN")
"""Countries whose national numbers start with 0, in the order in which they are tried."""

_MIN_DIGITS, _MAX_DIGITS = 7, 15
_LIST: Final = re.compile(r"[,|:*\[\]]")
_EXTENSION: Final = re.compile(r"[\s,.;]{0,3}(?:x|ext\.?|extension)\s{0,2}\d{1,6}(?!\d)", re.IGNORECASE)


def find_phones(text: str, *, spoken: bool) -> Iterator[tuple[int, int]]:
    """Find spans of telephone numbers in a plain text, with the leading ``+`` or ``(`` and the extension."""
    masked = mask_harmless(text)
    for cluster in find_clusters(masked):
        for number in _numbers(masked, cluster, spoken=spoken):
            start = _with_prefix(masked, number.start)
            extension = _EXTENSION.match(masked, number.end)
            yield start, extension.end() if extension else number.end


def _with_prefix(text: str, start: int) -> int:
    prefix = re.search(r"(?:\+\s?)?\(?$", text[max(0, start - 3) : start])
    return start - len(prefix[0]) if prefix else start


def _numbers(text: str, cluster: DigitCluster, *, spoken: bool) -> Iterator[DigitCluster]:
    if spoken:
        yield from _spoken_phone(text, cluster)
        return
    after = -1
    for window in cluster.windows(_MIN_DIGITS, _MAX_DIGITS):
        if window.start >= after and _is_phone(text, window, is_whole=len(window.groups) == len(cluster.groups)):
            yield window
            after = window.end


def _spoken_phone(text: str, cluster: DigitCluster) -> Iterator[DigitCluster]:
    """Accept any seven digits, unless an id word precedes them: speech recognition loses digits."""
    if (
        len(cluster.digits) >= _MIN_DIGITS
        and not cluster.only_years
        and not context.follows_id_word(text, cluster.start)
    ):
        yield cluster


def _is_phone(text: str, window: DigitCluster, *, is_whole: bool) -> bool:
    start, digits = window.start, window.digits
    if re.search(r"\+\s?\(?$", text[max(0, start - 3) : start]):
        return True
    north_american = bool(_NORTH_AMERICA.fullmatch(digits)) and _is_grouped(window, is_whole=is_whole)
    if not (is_whole or north_american or (digits[0] == "0" and not window.spelled)):
        return False
    after = text[window.end : window.end + 1]
    glued = text[start - 1 : start].isalpha() or (after.isalpha() and not _EXTENSION.match(text, window.end))
    if glued or any(_LIST.search(gap) for gap in window.gaps):
        return False
    named = context.follows_phone_word(text, start)
    if not named and len(window.shape) == 1 and context.follows_id_word(text, start):
        return False
    return north_american or (named and is_whole) or _is_national(window)


def _is_grouped(window: DigitCluster, *, is_whole: bool) -> bool:
    """Check for North American grouping; single digits among longer groups come from number words."""
    shape = window.shape
    mixed = is_whole and 1 in shape and max(shape) > 1
    return len(shape) == 1 or shape in _SHAPES or window.spelled or mixed


def _is_national(window: DigitCluster) -> bool:
    """Check for a trunk zero or the international prefix ``00``. A lone zero is part of a version."""
    digits = window.digits
    if not digits.startswith("0") or (window.shape[0] == 1 and not window.spelled):
        return False
    try:
        if digits.startswith("00"):
            return phonenumbers.is_possible_number(phonenumbers.parse(f"+{digits[2:]}"))
        return any(phonenumbers.is_valid_number(phonenumbers.parse(digits, region)) for region in _TRUNK_REGIONS)
    except phonenumbers.NumberParseException:
        return False
