"""Social security numbers and network addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from mmplatform.derive.pii import context
from mmplatform.derive.pii.facts import follows_program

_SSN: Final = re.compile(
    r"(?<![\w\-/.])(?!000|666)\d{3}(\s?[-./_·]\s?|\s{1,2})(?!00)\d{2}\1(?!0000)\d{4}(?![\w\-/]|\.\d)"
)
_DIGITS_OR_LETTERS: Final = re.compile(r"(?<!\w)[\dlIOoSB]{3}-[\dlIOoSB]{2}-[\dlIOoSB]{4}(?!\w)")
_BARE_SSN: Final = re.compile(r"(?<!\w)\d(?:[\s\-.,/_·|]{0,3}\d){8}(?!\w)")
_GROUPED_SSN: Final = re.compile(r"(?<![^\W_])\d{3}(?:[^\w\n]|\n|_){1,8}\d{2}(?:[^\w\n]|\n|_){1,8}\d{4}(?![^\W_])")
"""The groups with anything between them, which a word for the number must announce."""
_V4: Final = re.compile(r"(?<![\w.\-])(?:\d{1,3}\.){3}\d{1,3}(?![\w\-]|\.\d)")
_V6: Final = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE)
_SSN_DIGITS: Final = 9
_MIN_TRUE_DIGITS: Final = 6
_PRIVATE_NETWORKS: Final = tuple(
    ipaddress.ip_network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


def find_ssns(text: str) -> Iterator[tuple[int, int]]:
    """Find US social security numbers in a plain text: ``ddd-dd-dddd``, or nine digits after a word for them."""
    for match in _SSN.finditer(text):
        if not context.follows_thing(text, match.start()):
            yield match.start(), match.end()
    for match in _DIGITS_OR_LETTERS.finditer(text):
        true_digits = sum(character.isdigit() for character in match[0])
        if _MIN_TRUE_DIGITS <= true_digits < _SSN_DIGITS and not context.follows_thing(text, match.start()):
            yield match.start(), match.end()
    for match in chain(_BARE_SSN.finditer(text), _GROUPED_SSN.finditer(text)):
        if context.is_near_ssn_word(text, match.start(), match.end()):
            yield match.start(), match.end()


def find_ip_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Find IP addresses in a plain text, except those that identify no person (loopback, private networks)."""
    for pattern in (_V4, _V6):
        for match in pattern.finditer(text):
            if _is_public_address(match[0]) and not follows_program(text, match.start()):
                yield match.start(), match.end()


def _is_public_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local:
        return False
    return not any(address in block for block in _PRIVATE_NETWORKS if block.version == address.version)
