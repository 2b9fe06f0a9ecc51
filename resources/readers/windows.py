"""Reads windows of a table for checks: an hour, and the same hour of earlier weeks or days, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.land.lakehouse.schemas import SPECS
from quality.windows.baseline import WEEKS, Window, baseline_hours, baseline_windows
from quality.windows.figures import WINDOW_COLUMNS, WindowFigures, window_figures
from resources.iceberg_commits import EVENT_TIME
from resources.readers.hours import HourReader

LANGUAGE: Final = "language"
RECORD: Final = "record"
"""The largest column; it is read for one hour, never for a baseline of seven."""


def has_language(table: str) -> bool:
    """True when the rows of a table name their language."""
    return LANGUAGE in {name for name, _ in SPECS[table].columns}


def read_window(reader: HourReader, table: str, hour: datetime, now: datetime) -> tuple[Window, list[Window]]:
    """The window of an hour and those of its baseline, oldest first; two scans of a few columns.

    Raises:
        Unavailable: the table cannot be read or does not exist.
        Misconfigured: a setting is wrong.
    """
    with_rows = reader.hours_with_rows(table)
    complete = hour + HOUR <= now
    [figures] = _figures(reader, table, [hour]) if hour in with_rows else [WindowFigures()]
    # One imported event of years ago does not make the weeks since then a history.
    recent = [earlier for earlier in with_rows if earlier >= hour - timedelta(weeks=WEEKS)]
    hours = baseline_hours(hour, min(recent, default=hour))
    stored = [earlier for earlier in hours if earlier in with_rows]
    past = dict(zip(stored, _figures(reader, table, stored, exclude=RECORD), strict=True)) if stored else {}
    return Window(hour, figures, complete), baseline_windows(hours, past, stored)


def _figures(reader: HourReader, table: str, hours: Sequence[datetime], exclude: str = "") -> list[WindowFigures]:
    import polars as pl

    language = (LANGUAGE,) if has_language(table) else ()
    columns = [name for name in (*WINDOW_COLUMNS[table].names(), *language) if name != exclude]
    rows = reader.frame(table, hours, columns)
    return [
        window_figures(table, rows.filter(pl.col(EVENT_TIME).is_between(hour, hour + HOUR, closed="left")))
        for hour in hours
    ]
