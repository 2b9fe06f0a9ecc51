"""Metadata that the checks of a window share: the usual range of a figure, and its plot over the windows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quality.checks.result import Markdown, RawMetadataValue
from quality.windows.baseline import MIN_HISTORY, Band, Window
from quality.windows.figures import MIN_ROWS, WindowFigures
from quality.windows.plot import bar_plot

TOO_LITTLE_HISTORY = f"too little history to compare: fewer than {MIN_HISTORY} earlier weeks or days have this hour"


def too_few_rows(window: Window) -> str:
    """The reason why an hour is not judged; empty when it has enough rows."""
    rows = window.figures.volume
    return f"{rows} rows are too few to judge, {MIN_ROWS} are needed" if rows < MIN_ROWS else ""


def band_metadata(band: Band) -> dict[str, RawMetadataValue]:
    """The usual value and its range."""
    return {"usual": round(band.expected, 4), "usual_low": round(band.low, 4), "usual_high": round(band.high, 4)}


def history_values(baseline: Sequence[Window], figure: Callable[[WindowFigures], float | None]) -> list[float]:
    """The values of a figure in the windows with enough rows."""
    values = [figure(window.figures) for window in baseline if window.figures.volume >= MIN_ROWS]
    return [value for value in values if value is not None]


def plot_history(
    title: str,
    window: Window,
    baseline: Sequence[Window],
    figure: Callable[[WindowFigures], float | None],
    *,
    passed: bool,
    band: Band | None = None,
    limit: float | None = None,
) -> Markdown:
    """A bar for the hour of each window that has the figure."""
    values = [(f"{earlier.hour:%a %d %b}", figure(earlier.figures)) for earlier in (*baseline, window)]
    bars = [(label, float(value)) for label, value in values if value is not None]
    return Markdown(bar_plot(title, bars, passed=passed, band=band, limit=limit))
