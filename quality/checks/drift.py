"""Check ``drift``: the shares of an hour against the same hour of earlier weeks or days. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Final

from quality.checks.history import TOO_LITTLE_HISTORY, history_values, plot_history, too_few_rows
from quality.checks.result import CheckResult, MetadataTable, RawMetadataValue
from quality.checks.window_limit import FIGURE_NAMES
from quality.windows.baseline import Band, Window, usual_band

MIN_WIDTH: Final = 0.15
"""Half-width of the band of a share: with 50 rows, chance alone moves a share of one half by 0.14 (two sigmas)."""


def check_drift(names: Collection[str], window: Window, baseline: Sequence[Window]) -> CheckResult:
    """Fails when a figure is outside of its usual range; ``names`` are those of the table's figures."""
    metadata: dict[str, RawMetadataValue] = {"volume": window.figures.volume, "history": len(baseline)}
    if reason := too_few_rows(window):
        return CheckResult(passed=True, description=reason, metadata=metadata)
    bands = _bands(names, window, baseline)
    if not bands:
        return CheckResult(passed=True, description=TOO_LITTLE_HISTORY, metadata=metadata)
    values: dict[str, float] = {name: getattr(window.figures, name) for name in bands}
    metadata["figures"] = MetadataTable(
        [
            {
                "figure": name,
                "now": round(values[name], 4),
                "usual": round(band.expected, 4),
                "low": round(max(band.low, 0.0), 4),
                "high": round(min(band.high, 1.0), 4),
            }
            for name, band in bands.items()
        ]
    )
    unusual = [name for name, band in bands.items() if not band.contains(values[name])]
    shown = max(
        bands, key=lambda name: abs(values[name] - bands[name].expected) / (bands[name].high - bands[name].expected)
    )
    passed = not unusual
    metadata["plot"] = plot_history(
        FIGURE_NAMES[shown], window, baseline, attrgetter(shown), passed=passed, band=_clipped(bands[shown])
    )
    if passed:
        return CheckResult(passed=True, description=f"{len(bands)} figures are as usual", metadata=metadata)
    reasons = [f"{FIGURE_NAMES[name]}: {values[name]:.3g}, usually {bands[name].expected:.3g}" for name in unusual]
    return CheckResult(passed=False, description="; ".join(reasons), metadata=metadata, severity="WARN")


def _bands(names: Collection[str], window: Window, baseline: Sequence[Window]) -> dict[str, Band]:
    bands = {name: usual_band(history_values(baseline, attrgetter(name)), MIN_WIDTH) for name in names}
    return {
        name: band for name, band in bands.items() if band is not None and getattr(window.figures, name) is not None
    }


def _clipped(band: Band) -> Band:
    return Band(band.expected, max(band.low, 0.0), min(band.high, 1.0))
