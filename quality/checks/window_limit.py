"""Checks ``null_rate``, ``duplicate_rate``, ``confidence`` and ``redacted_share``: a figure against its limit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final

from quality.checks.history import history_values, plot_history, too_few_rows
from quality.checks.result import CheckResult, RawMetadataValue
from quality.windows.baseline import Window, usual_band
from quality.windows.limits import Limit

FIGURE_NAMES: Final[Mapping[str, str]] = {
    "null_rate": "share of rows without a value",
    "duplicate_rate": "share of rows that repeat another",
    "redacted_share": "share of texts with a redacted value",
    "confidence": "median confidence",
}
"""Figure → its name in descriptions and plots."""

MIN_EXPECTED_REDACTED: Final = 20.0
"""Usual redacted texts of an hour, of which none may be chance: with 20 expected, once in 10^8 hours."""


def check_limit(name: str, limit: Limit, window: Window, baseline: Sequence[Window]) -> CheckResult:
    """Fails when a figure of the hour breaks its limit, as consumers of the rows then get broken ones."""
    value: float | None = getattr(window.figures, name)
    metadata: dict[str, RawMetadataValue] = {"volume": window.figures.volume, "limit": limit.value}
    if value is None:
        return CheckResult(passed=True, description="no rows with this figure", metadata=metadata)
    metadata[name] = round(value, 4)
    if reason := too_few_rows(window):
        return CheckResult(passed=True, description=reason, metadata=metadata)
    title = FIGURE_NAMES[name]
    unredacted = name == "redacted_share" and _redaction_stopped(window, baseline)
    passed = not limit.broken and not unredacted
    metadata["plot"] = plot_history(
        title, window, baseline, attrgetter(name), passed=passed, limit=None if unredacted else limit.value
    )
    description = f"{title}: {value:.3g}, {limit.text}"
    if unredacted:
        description = "no text has a redacted value, although usually many have: the redactor may be off"
    return CheckResult(passed=passed, description=description, metadata=metadata)


def _redaction_stopped(window: Window, baseline: Sequence[Window]) -> bool:
    usual = usual_band(history_values(baseline, attrgetter("redacted_share")), floor=0.0)
    if usual is None or window.figures.redacted_share:
        return False
    return usual.expected * window.figures.volume >= MIN_EXPECTED_REDACTED
