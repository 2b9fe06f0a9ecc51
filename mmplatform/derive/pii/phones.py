"""Telephone numbers. A phone format suffices; bare digits need context, because order numbers look the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii import context
from mmplatform.derive.pii.digit_groups import DigitCluster, find_clusters, has_digits
from mmplatform.derive.pii.facts import mask_facts
from mmplatform.derive.pii.lookalikes import letters_to_digits
from mmplatform.derive.pii.phone_formats import (
    is_international_number,
    is_mobile,
    is_nationally_grouped,
    is_trunk_number,
)

_NORTH_AMERICA: Final = re.compile(r"1?[2-9]\d\d[2-9]\d{6}")
_SHAPES: Final = frozenset(
    {(3, 3, 4), (1, 3, 3, 4), (3, 7), (6, 4), (1, 10), (1, 6, 4), (1, 3, 7), (3, 3, 2, 2), (1, 3, 3, 2, 2)}
)
_SURE_SHAPES: Final = frozenset({(3, 3, 4), (1, 3, 3, 4)})
_MIN_DIGITS, _MAX_DIGITS = 7, 15
_MIN_BARE_TRUNK_DIGITS: Final = 9
"""Fewer digits after a zero are an id, unless a telephone is spoken of."""

_MIN_TRUE_DIGITS: Final = 7
_MIN_ANNOUNCED_DIGITS: Final = 9
_EDGES: Final = "|!"
"""Look-alikes that are no digit at an end of a number: the border of a cell, the end of a sentence."""

_LIST: Final = re.compile(r"[,|:*\[\]]")
_EXTENSION: Final = re.compile(
    r"[\s,.;]{0,3}(?:(?<!\w)x|\bext\.?|\bextension|\bdurchwahl|\bposte|\bramal|(?<!\w)доб\.?|(?<=\s)#|(?<=\d)x)"
    r"[\s:]{0,2}\d{1,6}(?!\d)",
    re.IGNORECASE,
)
_PLUS: Final = re.compile(r"\+\s?\(?$")
_RUSSIAN: Final = re.compile(r"8[3-9]\d{9}")
_CHINESE_LETTER: Final = re.compile(r"[\u4e00-\u9fff]")


def find_phones(text: str, *, spoken: bool) -> Iterator[tuple[int, int]]:
    """Find spans of telephone numbers in a plain text, with the leading ``+`` or ``(`` and the extension."""
    if not has_digits(text, _MIN_TRUE_DIGITS):
        return
    masked = mask_facts(text)
    if not has_digits(masked, _MIN_TRUE_DIGITS):
        return
    for cluster in find_clusters(masked):
        for number in _numbers(masked, cluster, spoken=spoken):
            yield _with_surroundings(masked, number)
    converted = letters_to_digits(masked)
    if converted:
        for cluster in find_clusters(converted):
            for number in cluster.windows(_MIN_DIGITS, _MAX_DIGITS):
                if _is_misread(masked, number):
                    yield _with_surroundings(masked, number)


def _with_surroundings(text: str, number: DigitCluster) -> tuple[int, int]:
    start = number.start
    prefix = re.search(r"(?:\+\s?)?\(?$", text[max(0, start - 3) : start])
    extension = _EXTENSION.match(text, number.end)
    return start - len(prefix[0]) if prefix else start, extension.end() if extension else number.end


def _numbers(text: str, cluster: DigitCluster, *, spoken: bool) -> Iterator[DigitCluster]:
    if spoken:
        yield from _spoken_phone(text, cluster)
        return
    if cluster.is_long_id or (len(set(cluster.gaps)) == 1 and context.follows_thing(text, cluster.start)):
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
    before = text[max(0, start - 3) : start]
    if _PLUS.search(before):
        return is_whole or is_international_number(digits, strict=True)
    is_list = any(_LIST.search(gap) for gap in window.gaps)
    if is_list or _is_glued(text, window) or _is_dotted_version(window) or context.follows_thing(text, start):
        return False
    north_american = bool(_NORTH_AMERICA.fullmatch(digits)) and _is_grouped(window, is_whole=is_whole)
    national = _is_national(text, window, is_whole=is_whole)
    if not north_american and not national and not is_whole:
        return False
    named = context.is_near_phone_word(text, start, window.end)
    if not named and (
        (window.shape not in _SURE_SHAPES and context.follows_code_prefix(text, start))
        or _is_id(text, window, bare=len(window.shape) == 1, north_american=north_american)
    ):
        return False
    return north_american or national or named


def _is_id(text: str, window: DigitCluster, *, bare: bool, north_american: bool) -> bool:
    """Check a number without a telephone word: bare digits, or groups that only some countries use, after ``id``."""
    if bare and window.digits[0] == "0" and len(window.digits) < _MIN_BARE_TRUNK_DIGITS:
        return True
    doubtful = bare or (window.digits[0] != "0" and not north_american)
    return doubtful and context.follows_id_word(text, window.start)


def _is_glued(text: str, window: DigitCluster) -> bool:
    after = text[window.end : window.end + 1]
    return _is_latin(text[window.start - 1 : window.start]) or (
        _is_latin(after) and not _EXTENSION.match(text, window.end)
    )


def _is_latin(character: str) -> bool:
    """Check for a letter of a script that puts spaces between words."""
    return character.isalpha() and not "\u0e00" <= character <= "\u0eff" and character < "\u3040"


def _is_dotted_version(window: DigitCluster) -> bool:
    """Check for ``120.0.6099.109`` or ``0.01 / 0.23``: dots, and groups of no telephone number."""
    shape = window.shape
    kinds = {gap.strip() for gap in window.gaps} - {""}
    if "." in window.gaps and "/" in kinds:
        return True  # a list of decimals
    if len(shape) < 3 or set(window.gaps) != {"."}:  # noqa: PLR2004
        return False
    return 1 in shape[1:] or (shape not in _SHAPES and not window.digits.startswith("0") and max(shape) > 3)  # noqa: PLR2004


def _is_grouped(window: DigitCluster, *, is_whole: bool) -> bool:
    """Check for North American grouping; single digits among longer groups come from number words."""
    shape = window.shape
    mixed = is_whole and not window.counts and 1 in shape and max(shape) > 1 and set(window.gaps) == {" "}
    return len(shape) == 1 or shape in _SHAPES or window.spelled or mixed


def _is_national(text: str, window: DigitCluster, *, is_whole: bool) -> bool:
    """Check for a trunk zero, the prefix ``00``, or a national grouping. A lone zero is part of a version."""
    digits, shape = window.digits, window.shape
    if digits.startswith("0"):
        if shape[0] == 1 and not window.spelled:
            return False
        if digits.startswith("00"):
            return is_international_number(digits[2:], strict=not is_whole)
        return (is_whole or not window.spelled) and is_trunk_number(digits, shape)
    if len(shape) == 1:
        nearby = text[max(0, window.start - 30) : window.end + 30]
        return bool(_CHINESE_LETTER.search(nearby)) and is_mobile(digits, "CN")
    if _RUSSIAN.fullmatch(digits) and shape[0] == 1:
        return is_nationally_grouped(digits[1:], shape[1:], bracketed="(" in window.gaps[0])
    bracketed = text[window.start - 1 : window.start] == "(" and ")" in window.gaps[0]
    return is_whole and is_nationally_grouped(digits, shape, bracketed=bracketed)


def _is_announced(text: str, number: DigitCluster, true_digits: int) -> bool:
    """Check for a word for telephones or a ``+`` before a number of which most digits are digits."""
    announced = text[number.start - 1 : number.start] == "+" or context.follows_phone_word(text, number.start)
    return announced and len(number.digits) >= _MIN_ANNOUNCED_DIGITS and true_digits * 2 > len(number.digits)


def _is_misread(text: str, number: DigitCluster) -> bool:
    """Check a number with look-alikes of digits: in the groups of a North American number, or announced."""
    written = text[number.start : number.end]
    if written[0] in _EDGES or written[-1] in _EDGES:
        return False
    true_digits = sum(character.isdigit() for character in written)
    groups = (text[group.start : group.end] for group in number.groups)
    if true_digits < len(number.digits) and _is_announced(text, number, true_digits):
        return True
    return (
        _MIN_TRUE_DIGITS <= true_digits < len(number.digits)
        and number.shape in _SURE_SHAPES
        and bool(_NORTH_AMERICA.fullmatch(number.digits))
        and all(any(map(str.isdigit, group)) for group in groups)
        and not any(_LIST.search(gap) for gap in number.gaps)
        and not context.follows_thing(text, number.start)
    )
