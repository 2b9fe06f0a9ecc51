"""Payment cards: 13 to 19 digits, with any separators between them.

Written numbers must pass the same Luhn test as the contract of passages, unless a card is spoken of. Speech
recognition loses and doubles digits, so in spoken text that test would miss real cards: there every run of 12 digits or
more counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from mmplatform.derive.pii import context
from mmplatform.derive.pii.digit_groups import DigitCluster, find_clusters, find_evenly_joined, find_fours, has_digits
from mmplatform.derive.pii.facts import mask_facts
from mmplatform.derive.pii.ibans import find_ibans
from mmplatform.derive.pii.lookalikes import letters_to_digits, to_digit, to_six
from quality.card_numbers import passes_luhn

_MIN_DIGITS, _MAX_DIGITS = 13, 19
_COMMON_DIGITS: Final = 16
_MIN_SPOKEN_DIGITS: Final = 12
_MIN_SPOKEN_DIGITS_IN_CONTEXT: Final = 5
"""Minimum after the word "card"; the last four digits alone identify nothing."""

_MIN_TRUE_DIGITS: Final = 4
"""Digits among the look-alikes of a card; fewer are words."""

_SURE_TRUE_DIGITS: Final = 10
"""With so many digits in groups of four, the check digit need not be right: a look-alike may have been misread."""

# Issuers' ranges with the lengths that they use (ISO/IEC 7812 and the networks' own tables).
_ISSUED: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard, both series
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|09|6\d|[89]\d)\d{11,16}"  # Diners
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    r"|(?:6011|64[4-9]\d|65\d\d|62\d\d|8[12]\d\d)\d{12,15}"  # Discover, UnionPay, RuPay
    r"|220[0-4]\d{12,15}|9792\d{12}"  # Mir, Troy
    r"|(?:50|5[6-9]|6\d)\d{11,17}"  # Maestro
)
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_SIM: Final = re.compile(r"89\d{16,18}")
_FOURS: Final = (4, 4, 4, 4)
_MAX_GROUPS: Final = 6
_CARD_SHAPES: Final = frozenset(
    {(4, 6, 5), (4, 6, 4), (8, 8), (6, 10), (4, 4, 5), (4, 12), (6, 6, 4), (4, 4, 8), (8, 4, 4), (6, 4, 4, 2)}
)


def find_cards(text: str, *, spoken: bool) -> Iterator[tuple[int, int]]:
    """Find spans of card numbers in a plain text."""
    if spoken:
        masked = mask_facts(text)
        for cluster in find_clusters(masked):
            yield from _spoken_cards(masked, cluster)
        return
    if not has_digits(text, _MIN_TRUE_DIGITS):
        return
    text = _mask_ibans(text)
    yield from _interrupted_cards(text)
    masked = mask_facts(text)
    if has_digits(masked, _MIN_DIGITS):
        for cluster in find_clusters(masked, any_separator=True):
            yield from _written_cards(masked, cluster)
    converted = letters_to_digits(masked)
    if converted and has_digits(converted, _MIN_DIGITS):
        for cluster in find_clusters(converted):
            yield from _misread_cards(masked, cluster)


def _interrupted_cards(text: str) -> Iterator[tuple[int, int]]:
    """Find cards with words or signs between the groups, some of which amounts have too: ``4111 then 1111 …``."""
    if not has_digits(text, _MIN_DIGITS):
        return
    for cluster in chain(find_evenly_joined(text), find_fours(text)):
        if _is_issued(cluster) and (_is_regular(cluster) or cluster.shape == _FOURS):
            yield cluster.start, cluster.end


def _mask_ibans(text: str) -> str:
    """Replace IBANs: the digits of some pass for a card."""
    for start, end in find_ibans(text):
        text = f"{text[:start]}{'x' * (end - start)}{text[end:]}"
    return text


def _written_cards(text: str, cluster: DigitCluster) -> Iterator[tuple[int, int]]:
    after = -1
    for window in cluster.windows(_MIN_DIGITS, _MAX_DIGITS):
        if window.start >= after and _is_card(text, window, is_whole=len(window.groups) == len(cluster.groups)):
            yield window.start, window.end
            after = window.end
    if after < 0:
        named = [window for window in cluster.windows(_MIN_DIGITS, _MAX_DIGITS) if _is_called_card(text, window)]
        if named:
            window = min(named, key=lambda window: abs(len(window.digits) - _COMMON_DIGITS))
            yield window.start, window.end


def _is_issued(window: DigitCluster) -> bool:
    digits = window.digits
    return len(digits) <= _MAX_DIGITS and bool(_ISSUED.fullmatch(digits)) and passes_luhn(digits)


def _is_card(text: str, window: DigitCluster, *, is_whole: bool) -> bool:
    digits = window.digits
    issued = bool(_ISSUED.fullmatch(digits))
    if not (issued or is_whole) or not passes_luhn(digits) or len(set(digits)) == 1:
        return False
    named = context.is_near_card_word(text, window.start, window.end)
    common = len(digits) == _COMMON_DIGITS
    if not (issued and common) and (context.follows_thing(text, window.start) or _SIM.fullmatch(digits)):
        return False
    if named:
        return True
    if not (issued and common) and context.follows_id_word(text, window.start):
        return False
    if issued:
        return _is_regular(window) or (is_whole and _has_card_groups(window))
    return common and digits[0] in "23456789" and not _YEAR.match(digits) and _is_regular(window)


def _has_card_groups(window: DigitCluster) -> bool:
    """Check for groups of a card, or few groups with one kind of separator: no row of a table."""
    shape = window.shape
    if shape == _FOURS or shape in _CARD_SHAPES:
        return True
    few = len(shape) <= _MAX_GROUPS or window.spelled or (1 in shape and set(window.gaps) == {" "})  # number words
    return few and {gap.strip() for gap in window.gaps} <= {"", "-"}


def _is_called_card(text: str, window: DigitCluster) -> bool:
    """Check a number with a wrong check digit: a mistyped card, when a card is spoken of and the digits are grouped."""
    return (
        _is_regular(window)
        and (bool(_ISSUED.fullmatch(window.digits)) or len(window.digits) == _COMMON_DIGITS)
        and context.is_near_card_word(text, window.start, window.end)
        and not context.follows_id_word(text, window.start)
        and not _SIM.fullmatch(window.digits)
    )


def _is_regular(window: DigitCluster) -> bool:
    """Check that digits are grouped as on cards, with one kind of separator, unlike a list of numbers."""
    if len({gap.strip().lower() for gap in window.gaps}) > 1:
        return False
    shape = window.shape
    equal = len(set(shape[:-1])) == 1 and shape[-1] <= shape[0] and shape[0] in {1, 2, 4, 5}
    return len(shape) == 1 or window.spelled or equal or shape in _CARD_SHAPES


def _misread_cards(text: str, cluster: DigitCluster) -> Iterator[tuple[int, int]]:
    """Find cards with look-alikes; ``text`` is as written, the cluster's digits are converted."""
    after = -1
    for window in cluster.windows(_MIN_DIGITS, _MAX_DIGITS):
        true_digits = sum(character.isdigit() for character in text[window.start : window.end])
        if window.start < after or true_digits == len(window.digits) or true_digits < _MIN_TRUE_DIGITS:
            continue
        if not context.follows_thing(text, window.start) and _is_misread_card(text, window, true_digits):
            yield window.start, window.end
            after = window.end


def _is_misread_card(text: str, window: DigitCluster, true_digits: int) -> bool:
    """Check a card with look-alikes; where a card is spoken of, they may be all of its first group."""
    named = context.is_near_card_word(text, window.start, window.end)
    first = text[window.groups[0].start : window.groups[0].end]
    if not named and not any(character.isdigit() for character in first):
        return False
    sure = named or (window.shape == _FOURS and true_digits >= _SURE_TRUE_DIGITS)
    return any(
        _ISSUED.fullmatch(digits)
        and ((_is_regular(window) and (sure or passes_luhn(digits))) or (named and passes_luhn(digits)))
        for digits in _misread_digits(text, window)
    )


def _misread_digits(text: str, window: DigitCluster) -> set[str]:
    """Read the look-alikes of a number: a small ``b`` is an 8 or a 6."""
    written = "".join(text[group.start : group.end] for group in window.groups)
    return {"".join(map(to_digit, written)), "".join(map(to_digit, map(to_six, written)))}


def _spoken_cards(text: str, cluster: DigitCluster) -> Iterator[tuple[int, int]]:
    count = len(cluster.digits)
    min_digits = _MIN_SPOKEN_DIGITS_IN_CONTEXT if context.follows_card_word(text, cluster.start) else _MIN_SPOKEN_DIGITS
    if count >= min_digits and not cluster.only_years:
        yield cluster.start, cluster.end
