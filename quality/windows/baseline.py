"""Baseline of a window: the same hour of earlier weeks, or of earlier days while there are few weeks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from quality.windows.figures import WindowFigures

MIN_HISTORY: Final = 3
"""Windows of a baseline: of fewer, a median is one of them."""

WEEKS: Final = 4
DAYS: Final = 7

_MAD_TO_SIGMA: Final = 1.4826
_SIGMAS: Final = 5.0
"""With four to seven windows the deviation is itself uncertain: 3 sigmas would fail one quiet hour in fifty."""


@dataclass(frozen=True, slots=True)
class Window:
    """One hour with its figures; ``complete`` is false while the hour runs."""

    hour: datetime
    figures: WindowFigures
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Band:
    """The usual range of a figure: median ± 5 robust deviations, and never narrower than a floor."""

    expected: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        """True when the value is usual."""
        return self.low <= value <= self.high


def baseline_hours(hour: datetime, first: datetime) -> list[datetime]:
    """The hours to compare with, oldest first; none before ``first``, the table's first hour with rows."""
    weeks = [hour - timedelta(weeks=n) for n in range(WEEKS, 0, -1)]
    days = [hour - timedelta(days=n) for n in range(DAYS, 0, -1)]
    for hours in (weeks, days):
        stored = [earlier for earlier in hours if earlier >= first]
        if len(stored) >= MIN_HISTORY:
            return stored
    return []


def baseline_windows(
    hours: Sequence[datetime], figures: Mapping[datetime, WindowFigures], with_rows: Collection[datetime]
) -> list[Window]:
    """Windows of a baseline; an hour without rows is one with a volume of zero."""
    return [Window(hour, figures[hour] if hour in with_rows else WindowFigures()) for hour in hours]


def usual_band(values: Sequence[float], floor: float) -> Band | None:
    """The band of a figure by its values in the baseline; ``None`` with too few of them."""
    if len(values) < MIN_HISTORY:
        return None
    expected = float(median(values))
    deviation = median(abs(value - expected) for value in values)
    width = max(_SIGMAS * _MAD_TO_SIGMA * deviation, floor)
    return Band(expected, expected - width, expected + width)
