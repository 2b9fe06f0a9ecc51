"""Check ``volume``: the rows of an hour against those of the same hour of earlier weeks or days. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from quality.checks.history import TOO_LITTLE_HISTORY, band_metadata, plot_history
from quality.checks.result import CheckResult, RawMetadataValue
from quality.windows.baseline import Band, Window, usual_band
from quality.windows.figures import MIN_ROWS

MIN_WIDTH: Final = 0.6
"""Half-width of the band by the usual volume: an hour with less than 40% of it, or with more than 160%, is unusual."""


def check_volume(window: Window, baseline: Sequence[Window]) -> CheckResult:
    """Fails when an hour has far fewer or far more rows than usual; no rows at all are an error.

    An hour that is usually quiet never fails, and an hour that still runs may have few rows.
    """
    rows = window.figures.volume
    values = [float(earlier.figures.volume) for earlier in baseline]
    metadata: dict[str, RawMetadataValue] = {"volume": rows, "history": len(baseline)}
    band = usual_band(values, floor=0.0)
    if band is None:
        return CheckResult(passed=True, description=f"{rows} rows; {TOO_LITTLE_HISTORY}", metadata=metadata)
    width = max(band.high - band.expected, MIN_WIDTH * band.expected)
    band = Band(band.expected, max(band.expected - width, 0.0), band.expected + width)
    few = window.complete and rows < band.low
    many = rows > band.high
    quiet = band.expected < MIN_ROWS
    passed = quiet or not (few or many)
    metadata |= band_metadata(band)
    metadata["plot"] = plot_history("rows", window, baseline, lambda figures: figures.volume, passed=passed, band=band)
    if passed:
        description = f"{rows} rows, usually {band.expected:g}"
        if quiet:
            description += f": fewer than {MIN_ROWS} are too few to judge"
        elif rows < band.low:
            description += ": the hour is still running"
        return CheckResult(passed=True, description=description, metadata=metadata)
    direction = "few" if few else "many"
    return CheckResult(
        passed=False,
        description=f"{direction} rows: {rows}, usually {band.low:.0f} to {band.high:.0f}",
        metadata=metadata,
        severity="ERROR" if few and not rows else "WARN",
    )
