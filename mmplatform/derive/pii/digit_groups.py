"""Clusters of neighbouring digits: the candidates for card and telephone numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_SEPARATOR: Final = r"[\s\-_./,:|*·()\[\]\\~'•]"
_DIGIT_CLUSTER: Final = re.compile(rf"\d(?:{_SEPARATOR}{{0,3}}\d){{4,}}")
_DIGIT_GROUP: Final = re.compile(r"\d+")
_YEAR: Final = re.compile(r"(?:19|20)\d\d")

# Dates, times and amounts are masked first, so that their digits never count as part of a number. Only the thousands
# form with commas is an amount by its shape alone.
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


def mask_harmless(text: str) -> str:
    """Replace dates, times and amounts by ``x``; the length stays."""
    return _HARMLESS.sub(lambda match: "x" * len(match[0]), text)


def find_clusters(text: str) -> Iterator[DigitCluster]:
    """Yield every cluster of a masked text."""
    for match in _DIGIT_CLUSTER.finditer(text):
        groups = tuple(
            DigitGroup(group[0], group.start(), group.end()) for group in _DIGIT_GROUP.finditer(text, *match.span())
        )
        gaps = tuple(text[a.end : b.start] for a, b in pairwise(groups))
        yield DigitCluster(groups, gaps)
