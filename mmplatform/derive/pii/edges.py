"""Edges of a message at which a value may go on in another message of the same speaker: ``my card is 4111 1111``.

Deliberately loose: an edge only decides which messages are read together. The redactor decides what is found in them.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from mmplatform.derive.pii.foreign_number_words import FOREIGN_NUMBER_WORD
from mmplatform.derive.pii.normalise import NUMBER_WORD, to_plain, visible_bounds

Edges = Literal["", "start", "end", "both", "fragment"]
"""Ends of a text that are a part of a value, or its label. ``fragment``: it is short, and hardly more than a part."""

MAX_FRAGMENT_CHARS: Final = 60
_EDGE_CHARS: Final = 80
_EDGE_TOKENS: Final = 3
_TOKEN: Final = re.compile(r"\d+|[^\W\d_]+|@")
LEAD: Final = re.compile(r"\s*(?:it['’]?s|it is|that['’]?s|and|then|ok|so|yes)\b[\s,:]*", re.IGNORECASE)
"""Words before a value that are no part of what it says."""

_ADDRESS_WORD: Final = re.compile(
    r"@|at|dot|dash|underscore|hyphen|arroba|punto|punkt|klammeraffe|point|arobase|punt|ponto|chiocciola|apenstaartje",
    re.IGNORECASE,
)
"""Words of a dictated e-mail address."""

_GROUP: Final = re.compile(r"[A-Z]{1,4}")
"""A group of letters as in an IBAN: ``GB29 NWBK``."""

_DOMAIN_END: Final = re.compile(r"\w\.[a-z]{2,10}\s*[.,;!?]?\s*$", re.IGNORECASE)
"""The end of a domain name: ``example.com``."""

_LABEL_END: Final = re.compile(
    r"(?:[:=]|\b(?:is|are|was|ist|lautet|es|est|è|number|no|nr|code|pin|cvv|cvc|card|phone|mobile|password|passcode|"
    r"iban|ssn|account|e-?mail|mail|address))\W*$",
    re.IGNORECASE,
)
"""The end of a label: ``my code is``."""


def find_edges(text: str) -> Edges:
    """Find where a text has a part of a value, or the label of one."""
    first, last = visible_bounds(text)
    plain = to_plain(text[first:last])
    if len(plain) <= MAX_FRAGMENT_CHARS and _is_fragment(plain):
        return "fragment"
    starts = any(map(_is_part, _TOKEN.findall(plain[:_EDGE_CHARS])[:_EDGE_TOKENS]))
    ends = any(map(_is_part, _TOKEN.findall(plain[-_EDGE_CHARS:])[-_EDGE_TOKENS:])) or ends_with_label(plain)
    if starts and ends:
        return "both"
    return "start" if starts else "end" if ends else ""


def ends_with_label(text: str) -> bool:
    """True when a text ends as a label does, before its value."""
    return _LABEL_END.search(text[-_EDGE_CHARS:]) is not None


def may_continue(earlier: Edges, later: Edges) -> bool:
    """True when a value may begin in one message and go on in the next.

    A fragment is read with whatever is before and after it: ``your code`` / ``482913`` / ``is what I got``.
    """
    if "fragment" in {earlier, later}:
        return True
    return earlier in {"end", "both"} and later in {"start", "both"}


def _is_fragment(plain: str) -> bool:
    """True for parts alone in words, and for a text of which at least half is digits or groups of a value."""
    if "@" in plain or _DOMAIN_END.search(plain):
        return True
    tokens = _TOKEN.findall(LEAD.sub("", plain, count=1))
    parts = sum(map(_is_part, tokens))
    if not any(token.isdigit() for token in tokens):
        return 0 < parts == len(tokens)
    return 2 * (parts + sum(1 for token in tokens if _GROUP.fullmatch(token))) >= len(tokens)


def _is_part(token: str) -> bool:
    return (
        token.isdigit()
        or _ADDRESS_WORD.fullmatch(token) is not None
        or NUMBER_WORD.fullmatch(token) is not None
        or FOREIGN_NUMBER_WORD.fullmatch(token) is not None
    )
