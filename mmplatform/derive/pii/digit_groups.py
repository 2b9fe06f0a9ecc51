"""Digits that stand close together: what cards, telephone and social security numbers are looked for in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_SEPARATOR: Final = r"[\s\-_./,:|*·()\[\]\\~'•]"
_CLUSTER: Final = re.compile(rf"\d(?:{_SEPARATOR}{{0,3}}\d){{4,}}")
_GROUP: Final = re.compile(r"\d+")
_YEAR: Final = re.compile(r"(?:19|20)\d\d")

# Dates, times and amounts are made of digits too: they are blotted out first, so that they never count as part of a
# number. Only the thousands form with commas is an amount by its shape alone.
_DATE: Final = (
    r"(?<![\d\-/.])(?:(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d)(?![-/.]?\d)"
)
_COMPACT_TIME: Final = (
    r"(?<!\d)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[T_\-]?[0-2]\d[0-5]\d(?:[0-5]\d)?)?(?!\d)"
)
_TIME: Final = r"(?<![\d:])\d{1,2}:[0-5]\d(?::[0-5]\d(?:[.,]\d{1,6})?)?(?![\d:])"
_AMOUNT: Final = (
    r"(?:[$€£¥]|\b(?:USD|EUR|GBP)\s?)\s?\d[\d.,]{0,30}"
    r"|(?<![\d.,])\d{1,3}(?:,\d{3})+(?:\.\d\d?)?(?![\d,])(?!\.\d)"
    r"|(?<![\d.,])\d{1,15}(?:[.,]\d{1,15})?\s?(?:[$€£¥%]|(?:dollars?|euros?|pounds?|percent|USD|EUR|GBP)\b)"
)
_HARMLESS: Final = re.compile(f"{_DATE}|{_COMPACT_TIME}|{_TIME}|{_AMOUNT}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Group:
    """Digits without a gap."""

    digits: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """Groups of digits with at most three separating characters between neighbours; five digits or more in all."""

    groups: tuple[Group, ...]
    gaps: tuple[str, ...]

    @property
    def start(self) -> int:
        """Where its first digit is."""
        return self.groups[0].start

    @property
    def end(self) -> int:
        """Behind its last digit."""
        return self.groups[-1].end

    @property
    def digits(self) -> str:
        """All its digits."""
        return "".join(group.digits for group in self.groups)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many digits each group has."""
        return tuple(len(group.digits) for group in self.groups)

    @property
    def spelled(self) -> bool:
        """Digit by digit."""
        return len(self.groups) > 1 and all(length == 1 for length in self.shape)

    @property
    def only_years(self) -> bool:
        """``2023, 2024, 2025``."""
        return all(_YEAR.fullmatch(group.digits) for group in self.groups)

    def part(self, first: int, last: int) -> Cluster:
        """The groups from ``first`` up to, not including, ``last``."""
        return Cluster(self.groups[first:last], self.gaps[first : last - 1])

    def windows(self, shortest: int, longest: int) -> Iterator[Cluster]:
        """Every run of whole groups with so many digits, from left to right, the longest of each place first."""
        lengths = self.shape
        for first in range(len(lengths)):
            total, ends = 0, []
            for last in range(first, len(lengths)):
                total += lengths[last]
                if total > longest:
                    break
                if total >= shortest:
                    ends.append(last + 1)
            for end in reversed(ends):
                yield self.part(first, end)


def blotted(text: str) -> str:
    """The text with dates, times and amounts replaced by ``x``; the same length."""
    return _HARMLESS.sub(lambda match: "x" * len(match[0]), text)


def clusters(text: str) -> Iterator[Cluster]:
    """Every cluster of a blotted text."""
    for match in _CLUSTER.finditer(text):
        groups = tuple(Group(group[0], group.start(), group.end()) for group in _GROUP.finditer(text, *match.span()))
        gaps = tuple(text[a.end : b.start] for a, b in pairwise(groups))
        yield Cluster(groups, gaps)
