"""National formats of telephone numbers: which countries group digits so, by the tables of phonenumbers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Final

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

Shape = tuple[int, ...]

_TRUNK_REGIONS: Final = (
    *("GB", "DE", "FR", "IT", "NL", "AU", "IE", "BE", "CH", "AT", "SE", "JP", "IN", "KR", "NZ", "ZA", "TR", "IL"),
    *("UA", "BR", "AR", "EG", "NG", "KE", "PK", "ID", "PH", "MY", "TH", "VN", "TW", "CN", "AE", "SA", "RO", "FI"),
)
"""Countries whose national numbers start with 0, in the order in which they are tried."""

_BARE_TRUNK_REGIONS: Final = _TRUNK_REGIONS[:13]
"""Countries whose numbers count without any grouping too."""

_FORMAT_REGIONS: Final = (
    *("ES", "PT", "PL", "CZ", "SK", "IT", "IN", "CN", "BR", "MX", "CO", "PE"),
    *("CL", "RU", "KZ", "NO", "GR", "HU", "SG", "HK", "AR"),
)
"""Countries whose numbers count without a trunk prefix, when their groups are those of the national format."""

_WRITTEN_SHAPES: Final[Mapping[Shape, tuple[str, ...]]] = {
    (3, 3, 3): ("ES", "PT", "PE", "PL", "CZ", "SK"),
    (3, 2, 2, 2): ("ES",),
    (3, 2, 3): ("NO",),
    (3, 3, 4): ("IN", "IT", "CO", "MX", "TR", "RU", "GR", "IR"),
    (4, 3, 3): ("IN",),
    (3, 3, 2, 2): ("RU", "KZ", "TR"),
    (2, 3, 2, 2): ("PL", "UA", "FR"),
    (3, 4, 4): ("CN",),
    (2, 5, 4): ("BR",),
}
"""Groupings that people use beside the one of the tables."""

_MIN_SHAPE_GROUPS: Final = 2
_MIN_NATIONAL_DIGITS: Final = 8
_GROUP: Final = re.compile(r"\((?:\\d|\[[^\]]*\]|[^()])+\)")
_PART: Final = re.compile(r"(?:\\d|\[[^\]]+\]|\d|\([^()]*\))(?:\{(\d+)(?:,(\d+))?\})?")
_LIKE_A_LIST: Final = frozenset({(4, 4), (2, 2, 2, 2), (2, 2, 2, 2, 2)})
"""Shapes that lists of years and sizes have too: these need a telephone word or a prefix."""

_MOBILE: Final = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def is_trunk_number(digits: str, shape: Shape) -> bool:
    """Check for a national number with its trunk zero, in any country of the list."""
    regions = _BARE_TRUNK_REGIONS if len(shape) == 1 else _TRUNK_REGIONS
    return any(_is_valid(digits, region) for region in regions)


def is_international_number(digits: str, *, strict: bool) -> bool:
    """Check digits after ``+`` or ``00``; ``strict``: the number must be assigned, not only possible."""
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number) if strict else phonenumbers.is_possible_number(number)


def is_nationally_grouped(digits: str, shape: Shape, *, bracketed: bool) -> bool:
    """Check for groups as a country writes them, without a trunk prefix: ``98765 43210``, ``(11) 91234-5678``.

    ``bracketed``: the first group stands in brackets, as an area code does; else only mobile numbers count.
    """
    if len(shape) < _MIN_SHAPE_GROUPS or len(digits) < _MIN_NATIONAL_DIGITS or (shape in _LIKE_A_LIST):
        return False
    return any(
        _matches(digits, region, bracketed=bracketed)
        and (region in _WRITTEN_SHAPES.get(shape, ()) or _national_shape(digits, region) == shape)
        for region in _regions_by_shape().get(shape, ())
    )


def is_mobile(digits: str, region: str) -> bool:
    """Check for a mobile number of a country."""
    return _matches(digits, region, bracketed=False)


def _matches(digits: str, region: str, *, bracketed: bool) -> bool:
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number_for_region(number, region):
        return False
    return bracketed or phonenumbers.number_type(number) in _MOBILE


def _national_shape(digits: str, region: str) -> Shape:
    written = phonenumbers.format_number(phonenumbers.parse(digits, region), PhoneNumberFormat.NATIONAL)
    groups = re.findall(r"\d+", written if digits.startswith("0") else re.sub(r"^\(?0\s?", "", written))
    return tuple(map(len, groups))


def _is_valid(digits: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(digits, region))
    except phonenumbers.NumberParseException:
        return False


@cache
def _regions_by_shape() -> Mapping[Shape, tuple[str, ...]]:
    regions: defaultdict[Shape, list[str]] = defaultdict(list)
    for shape, written in _WRITTEN_SHAPES.items():
        regions[shape] += written
    for region in _FORMAT_REGIONS:
        metadata = PhoneMetadata.metadata_for_region(region)
        for number_format in metadata.number_format if metadata else ():
            for shape in _shapes(number_format.pattern or ""):
                if region not in regions[shape]:
                    regions[shape].append(region)
    return {shape: tuple(names) for shape, names in regions.items()}


def _shapes(pattern: str) -> list[Shape]:
    """Read the group lengths of a pattern: groups of 2, of 4 or 5, and of 4 digits are (2, 4, 4) and (2, 5, 4)."""
    lengths = []
    for group in _GROUP.findall(pattern):
        low = high = 0
        for minimum, maximum in _PART.findall(group[1:-1]):
            low += int(minimum or 1)
            high += int(maximum or minimum or 1)
        lengths.append(range(low, high + 1))
    return [shape for shape in product(*lengths) if len(shape) >= _MIN_SHAPE_GROUPS]
