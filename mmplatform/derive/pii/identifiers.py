"""Social security numbers and network addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii import context

_SOCIAL: Final = re.compile(r"(?<![\w\-/.])\d{3}([- .])\d{2}\1\d{4}(?![\w\-/]|\.\d)")
_BARE_SOCIAL: Final = re.compile(r"(?<!\w)\d(?:[\s\-.,]{0,2}\d){8}(?!\w)")
_V4: Final = re.compile(r"(?<![\w.\-])(?:\d{1,3}\.){3}\d{1,3}(?![\w\-]|\.\d)")
_V6: Final = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE)
_VERSION: Final = re.compile(
    r"\b(?:v|ver|version|build|firmware|release|driver|app|ios|android)\.?\s{0,2}$", re.IGNORECASE
)
_OF_NOBODY: Final = tuple(
    ipaddress.ip_network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


def find_socials(text: str) -> Iterator[tuple[int, int]]:
    """Spans of US social security numbers in a plain text: ``ddd-dd-dddd``, or nine digits of which that is said."""
    for match in _SOCIAL.finditer(text):
        yield match.start(), match.end()
    for match in _BARE_SOCIAL.finditer(text):
        if context.is_social(text, match.start()):
            yield match.start(), match.end()


def find_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Spans of IP addresses in a plain text, except those that are nobody's (loopback, private networks)."""
    for pattern in (_V4, _V6):
        for match in pattern.finditer(text):
            if _is_somebodys(match[0]) and not _VERSION.search(text[max(0, match.start() - 12) : match.start()]):
                yield match.start(), match.end()


def _is_somebodys(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local:
        return False
    return not any(address in block for block in _OF_NOBODY if block.version == address.version)
