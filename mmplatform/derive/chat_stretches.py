"""Stretches of a chain of messages: which of its messages are read together, and what of that counts.

Pure. A message is a text here, and a chain a list of them in the order of their times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mmplatform.derive.pii.edges import LEAD, ends_with_label
from mmplatform.derive.pii.entities import NUMBER_ENTITIES
from mmplatform.derive.pii.normalise import visible_bounds
from mmplatform.derive.pii.replacement import Span

MAX_CHARS_READ: Final = 4_000
"""Characters that are read again for one message, and the readings: a flood of digits costs a bound."""

MAX_READINGS: Final = 48
MAX_END_CHARS: Final = 200
"""Characters of a long message that are read together with its neighbour."""

_SPREAD_ENTITIES: Final = frozenset(NUMBER_ENTITIES) - {"ADDRESS", "HANDLE", "IP"}
"""Entities that people spread over messages. Of names and addresses each message is read by itself."""

_MAX_LEAD_CHARS: Final = 12
"""Before a value whose label ends the message before: ``it's 482913``."""

_MAX_SURPLUS_CHARS: Final = 3
_DOMAIN: Final = re.compile(
    r"@?[\w-]+(?:\.[\w-]+)*\.(?:[a-z]{2}|com|net|org|edu|gov|info|biz|dev|app)\b", re.IGNORECASE
)
_LOCAL_PART: Final = re.compile(r"[\w.+-]*[\d._+-][\w.+-]*\s*$")
_MAIL_CUE: Final = re.compile(r"e-?mail|mail|\bdot\b|punkt|punto|point|arroba|@", re.IGNORECASE)
_AT: Final = re.compile(r"\bat\b", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)?")
_ROUND_NUMBER: Final = re.compile(r"\d*0|\d+[.,]\d+")
"""Quantities and prices: ``200``, ``500``, ``1200`` together have as many digits as a telephone number."""


@dataclass(frozen=True, slots=True)
class Part:
    """A message of one reading: the characters of its text that were joined, and their place in the joined text."""

    number: int
    first: int
    text: str
    offset: int
    joint: str = ""

    @property
    def end(self) -> int:
        """The end of its own characters in the joined text."""
        return self.offset + len(self.text)


def readings(texts: Sequence[str], new: int, *, is_fragment: bool) -> Iterator[list[Part]]:
    """Yield stretches that have the message ``new`` in them, each as its parts.

    ``is_fragment``: of the new message. A value does not go on through one that is more than a fragment.
    """
    chars = count = 0
    for first, last in _stretches(new, len(texts)):
        if first < new < last and not is_fragment:
            continue
        parts = _join(texts, first, last)
        size = parts[-1].end
        if chars + size > MAX_CHARS_READ:
            continue
        chars, count = chars + size, count + 1
        yield parts
        if count == MAX_READINGS:
            return


def joined(parts: Sequence[Part]) -> str:
    """Text of a reading."""
    return "".join(part.joint + part.text for part in parts)


def accepted(number: int, parts: Sequence[Part], spans: Sequence[Span]) -> list[Span]:
    """Spans of a joined text inside one of its messages, in characters of the message.

    A value must touch two messages. One within a message counts too, where its label may be in the other one: it is
    all that the message says, or it stands at its start, after a message that ends with a label.
    """
    part = parts[number]
    found = []
    for start, end, entity in spans:
        if entity not in _SPREAD_ENTITIES or end <= part.offset or start >= part.end:
            continue
        is_within = part.offset <= start and end <= part.end
        if is_within and not _is_labelled(number, parts, start, end):
            continue
        if not is_within and not _is_plausible(entity, joined(parts), start, end):
            continue
        first, last = max(start, part.offset) - part.offset, min(end, part.end) - part.offset
        found.append((part.first + first, part.first + last, entity))
    return found


def _is_labelled(number: int, parts: Sequence[Part], start: int, end: int) -> bool:
    part = parts[number]
    surplus = part.text[: start - part.offset] + part.text[end - part.offset :]
    if len("".join(surplus.split())) <= _MAX_SURPLUS_CHARS:
        return True
    return number > 0 and start - part.offset <= _MAX_LEAD_CHARS and ends_with_label(parts[number - 1].text)


def _is_plausible(entity: str, text: str, start: int, end: int) -> bool:
    """False for quantities that make a telephone number, and for a word before ``at`` or a mention."""
    if entity == "PHONE":
        return not all(_ROUND_NUMBER.fullmatch(number) for number in _NUMBER.findall(text[start:end]))
    if entity == "EMAIL":
        local, sign, domain = text[start:end].partition("@")
        if sign:
            return _DOMAIN.match(domain.lstrip()) is not None
        return _MAIL_CUE.search(text[:end]) is not None or _LOCAL_PART.search(_AT.split(local)[0]) is not None
    return True


def _stretches(new: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of stretches of two and more that have ``new`` in them.

    First those that end at the new message or at an end of the chain, the shortest first; then all others.
    """
    last = count - 1
    near = [(first, new) for first in range(new)] + [(new, end) for end in range(new + 1, count)]
    far = [(first, last) for first in range(new)] + [(0, end) for end in range(new + 1, count)]
    every = [(first, end) for first in range(new + 1) for end in range(new, count) if end > first]
    for group in (near, far, every):
        group.sort(key=lambda stretch: stretch[1] - stretch[0])
    yield from dict.fromkeys([*near, *far, *every])


def _join(texts: Sequence[str], first: int, last: int) -> list[Part]:
    """Join texts with a space, and without one in an e-mail address. Of the outer ones only the near ends are read."""
    parts: list[Part] = []
    for number in range(first, last + 1):
        begin, end = visible_bounds(texts[number])
        if number == first:
            begin = max(begin, end - MAX_END_CHARS)
        else:
            lead = LEAD.match(texts[number], begin, end) if ends_with_label(parts[-1].text) else None
            begin = lead.end() if lead else begin  # "my code is" / "it's 482913"
            end = min(end, begin + MAX_END_CHARS)
        text = texts[number][begin:end]
        joint = " " if parts and not _is_glued(parts[-1].text, text) else ""
        offset = (parts[-1].end if parts else 0) + len(joint)
        parts.append(Part(number, begin, text, offset, joint))
    return parts


def _is_glued(before: str, after: str) -> bool:
    """True in the middle of an e-mail address: ``dw42`` / ``@example.com``."""
    if before.endswith("@"):
        return _DOMAIN.match(after) is not None
    if after.startswith("@"):
        is_address = _LOCAL_PART.search(before) is not None or _MAIL_CUE.search(before) is not None
        return is_address and _DOMAIN.match(after) is not None
    return after.startswith(".") and before[-1:].isalnum()
