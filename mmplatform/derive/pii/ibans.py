"""International bank account numbers: any letter case, separators, line breaks and look-alikes of digits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from mmplatform.derive.pii.lookalikes import to_digit, to_letter

_START: Final = re.compile(
    r"(?:(?<![^\W_])|(?<=iban))[A-Z][ \-]?[A-Z](?=[\s\-._/:,|]{0,3}[\dOIlSB][\s\-._/:,|]{0,3}[\dOIlSB])", re.IGNORECASE
)
_SEPARATOR: Final = re.compile(r"[\s\-._/:,;|·+*()\[\]]{0,4}")
_NAMED: Final = re.compile(
    r"\b(?:iban|bank\s?account|account|konto|compte|cuenta|rekening)\b[^\n]{0,30}$", re.IGNORECASE
)
_CONTEXT_CHARS: Final = 48
_CLASS: Final = re.compile(r"(\[[^\]]+\])\)?(?:\{(\d+)\})?")
_OTHER_FORMATS: Final = (
    "MU N2 A4 N19 A3, PS N2 A4 C21, PT N23, QA N2 A4 C21, ST N23, SV N2 A4 N20, SD N16, BI N25, RU N16 C15, MN N18, "
    "NI N2 A4 N20, FK N2 A2 N12, DJ N25, SO N21, OM N5 C16, YE N2 A4 N4 C18, HN N2 A4 N20"
)
"""Formats of the SWIFT registry that Presidio lacks or has too short."""

_CHECK_POSITION: Final = 4


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
    """Find IBANs in a plain text: the format of the country, and the check digits unless an account is spoken of."""
    for match in _START.finditer(text):
        country = re.sub(r"\W", "", match[0]).upper()
        structure = _structures().get(country)
        if structure is None:
            continue
        read = _read(text, match.end(), structure)
        if read is None:
            continue
        account, end = read
        follower = text[end : end + 1]
        if follower.isdigit():  # part of a longer number: "no. 6011650899529352" holds Norway's format
            continue
        is_complete = not follower.isalnum()
        if _has_valid_check(country + account) or (is_complete and _is_named(text, match.start())):
            yield match.start(), end


def _read(text: str, position: int, structure: str) -> tuple[str, int] | None:
    """Read the characters of a format; a look-alike counts as what the format has in its position."""
    characters = []
    for kind in structure:
        gap = _SEPARATOR.match(text, position)
        position = gap.end() if gap else position
        written = text[position : position + 1]
        if not (written.isascii() and written.isalnum()) and written not in {"|", "!"}:
            return None
        character = written.upper()
        if kind == "A":
            character = to_letter(written).upper()
        elif kind == "N" or not written.isalnum():  # a bar is no letter of an account
            character = to_digit(written)
        if (kind == "N" and not character.isdigit()) or (kind == "A" and not character.isalpha()):
            return None
        characters.append(character)
        position += 1
    return "".join(characters), position


def _is_named(text: str, start: int) -> bool:
    return bool(_NAMED.search(text[max(0, start - _CONTEXT_CHARS) : start]))


def _has_valid_check(iban: str) -> bool:
    """Verify the check digits of ISO 13616."""
    turned = iban[_CHECK_POSITION:] + iban[:_CHECK_POSITION]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


@cache
def _structures() -> Mapping[str, str]:
    """Read Presidio's formats of countries: ``A`` a letter, ``N`` a digit, ``C`` either, without the country code."""
    from presidio_analyzer.predefined_recognizers.generic.iban_patterns import regex_per_country

    kinds = {"[A-Z]": "A", "[0-9]": "N", "[0]": "N"}
    formats = {
        row[:2]: "".join(part[0] * int(part[1:]) for part in row.split()[1:]) for row in _OTHER_FORMATS.split(", ")
    }
    return {
        country: "".join(
            kinds.get(characters, "C") * int(count or 1)
            for characters, count in _CLASS.findall(pattern.replace("[ ]?", ""))
        )
        for country, pattern in regex_per_country.items()
    } | formats
