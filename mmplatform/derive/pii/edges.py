"""Edges of a message at which a value may go on in another message of the same speaker: ``my card is 4111 1111``.

Deliberately loose: an edge only decides which messages are read together. The redactor decides what is found in them.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from mmplatform.derive.pii.foreign_number_words import FOREIGN_NUMBER_WORD
from mmplatform.derive.pii.normalise import NUMBER_WORD, to_plain

Edges = Literal["", "start", "end", "both", "fragment"]
"""Ends of a text that are a part of a value. ``fragment``: it is short, and hardly more than such a part."""

MAX_FRAGMENT_CHARS: Final = 60
_EDGE_CHARS: Final = 80
_EDGE_TOKENS: Final = 3
_TOKEN: Final = re.compile(r"\d+|[^\W\d_]+|@")
_ADDRESS_WORD: Final = re.compile(
    r"@|at|dot|dash|underscore|hyphen|arroba|punto|punkt|klammeraffe|point|arobase|punt|ponto|chiocciola|apenstaartje",
    re.IGNORECASE,
)
"""Words of a dictated e-mail address."""

_GROUP: Final = re.compile(r"[A-Z]{1,4}")
"""A group of letters as in an IBAN: ``GB29 NWBK``."""

_TOP_LEVEL: Final = re.compile(r"\w\.[a-z]{2,10}\s*[.,;!?]?\s*$", re.IGNORECASE)
"""The end of a domain name: ``example.com``."""


def find_edges(text: str) -> Edges:
    """Find where a text has a part of a value."""
    plain = to_plain(text).strip()
    if len(plain) <= MAX_FRAGMENT_CHARS and _is_fragment(plain):
        return "fragment"
    starts = any(map(_is_part, _TOKEN.findall(plain[:_EDGE_CHARS])[:_EDGE_TOKENS]))
    ends = any(map(_is_part, _TOKEN.findall(plain[-_EDGE_CHARS:])[-_EDGE_TOKENS:]))
    if starts and ends:
        return "both"
    return "start" if starts else "end" if ends else ""


def may_continue(earlier: Edges, later: Edges) -> bool:
    """True when a value may begin in one message and go on in the next.

    A fragment is read with whatever is before and after it: ``your code`` / ``482913`` / ``is what I got``.
    """
    if "fragment" in {earlier, later}:
        return True
    return earlier in {"end", "both"} and later in {"start", "both"}


def _is_fragment(plain: str) -> bool:
    if "@" in plain or _TOP_LEVEL.search(plain):
        return True
    tokens = _TOKEN.findall(plain)
    parts = sum(map(_is_part, tokens))
    groups = sum(1 for token in tokens if _GROUP.fullmatch(token))
    return parts > 0 and 2 * (parts + groups) >= len(tokens)


def _is_part(token: str) -> bool:
    return (
        token.isdigit()
        or _ADDRESS_WORD.fullmatch(token) is not None
        or NUMBER_WORD.fullmatch(token) is not None
        or FOREIGN_NUMBER_WORD.fullmatch(token) is not None
    )
