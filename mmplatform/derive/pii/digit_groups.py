"""Clusters of neighbouring digits: the candidates for card and telephone numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_SEPARATOR: Final = r"[\s\-_./,:|*·()\[\]\\~'•]"
_DIGIT_CLUSTER: Final = re.compile(rf"\d(?:{_SEPARATOR}{{0,3}}\d){{4,}}")
_WIDE_CLUSTER: Final = re.compile(r"\d(?:[\W_]{0,6}\d){4,}")
_EVENLY_JOINED: Final = re.compile(r"(?<!\d)\d{1,8}(\D{1,6})\d{1,8}(?:\1\d{1,8}){1,17}(?!\d)", re.IGNORECASE)
_FOURS: Final = re.compile(r"(?<!\d)\d{4}(?:\D{1,8}\d{4}){3}(?!\d)")
_DIGIT_GROUP: Final = re.compile(r"\d+")
_MAX_PHONE_DIGITS: Final = 15
_YEAR: Final = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True, slots=True)
class DigitGroup:
    """Consecutive digits."""

    digits: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DigitCluster:
    """Groups of digits, at most three separators between neighbours, five digits or more in total."""

    groups: tuple[DigitGroup, ...]
    gaps: tuple[str, ...]

    @property
    def start(self) -> int:
        """Offset of the first digit."""
        return self.groups[0].start

    @property
    def end(self) -> int:
        """Offset after the last digit."""
        return self.groups[-1].end

    @property
    def digits(self) -> str:
        """All digits, without separators."""
        return "".join(group.digits for group in self.groups)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of digits in each group."""
        return tuple(len(group.digits) for group in self.groups)

    @property
    def spelled(self) -> bool:
        """Each group is a single digit."""
        return len(self.groups) > 1 and all(length == 1 for length in self.shape)

    @property
    def only_years(self) -> bool:
        """``2023, 2024, 2025``."""
        return all(_YEAR.fullmatch(group.digits) for group in self.groups)

    @property
    def counts(self) -> bool:
        """``7 8 9 10``: the groups are consecutive numbers."""
        return all(int(b.digits) - int(a.digits) == 1 for a, b in pairwise(self.groups))

    @property
    def is_long_id(self) -> bool:
        """Equal groups of four or five, more than a telephone number has: a tracking number or a card."""
        shape = self.shape
        return (
            sum(shape) > _MAX_PHONE_DIGITS
            and shape[0] in {4, 5}
            and set(shape[:-1]) == {shape[0]}
            and shape[-1] <= shape[0]
            and len(set(self.gaps)) == 1
        )

    def slice(self, first: int, last: int) -> DigitCluster:
        """The groups from ``first`` up to, not including, ``last``."""
        return DigitCluster(self.groups[first:last], self.gaps[first : last - 1])

    def windows(self, min_digits: int, max_digits: int) -> Iterator[DigitCluster]:
        """Yield runs of whole groups within the digit limits, from left to right, the longest at each start first."""
        lengths = self.shape
        for first in range(len(lengths)):
            total, ends = 0, []
            for last in range(first, len(lengths)):
                total += lengths[last]
                if total > max_digits:
                    break
                if total >= min_digits:
                    ends.append(last + 1)
            for end in reversed(ends):
                yield self.slice(first, end)


def find_clusters(text: str, *, any_separator: bool = False) -> Iterator[DigitCluster]:
    """Yield every cluster of a masked text; ``any_separator``: up to six characters that are no letters."""
    for match in (_WIDE_CLUSTER if any_separator else _DIGIT_CLUSTER).finditer(text):
        yield _cluster(text, *match.span())


def find_evenly_joined(text: str) -> Iterator[DigitCluster]:
    """Yield clusters with the same words or signs in each gap: ``4111 then 1111 then …``."""
    for match in _EVENLY_JOINED.finditer(text):
        yield _cluster(text, *match.span())


def find_fours(text: str) -> Iterator[DigitCluster]:
    """Yield four groups of four digits with any short gaps."""
    for match in _FOURS.finditer(text):
        yield _cluster(text, *match.span())


def has_digits(text: str, count: int) -> bool:
    """Check for so many digits in a text: most messages have fewer, and need no search."""
    return bool(re.match(rf"(?:\D*\d){{{count}}}", text, re.ASCII))


def _cluster(text: str, start: int, end: int) -> DigitCluster:
    groups = tuple(
        DigitGroup(group[0], group.start(), group.end()) for group in _DIGIT_GROUP.finditer(text, start, end)
    )
    return DigitCluster(groups, tuple(text[a.end : b.start] for a, b in pairwise(groups)))
