"""Check ``language_mix``: the languages of an hour against the same hour of earlier weeks or days. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from quality.checks.history import TOO_LITTLE_HISTORY, plot_history, too_few_rows
from quality.checks.result import CheckResult, MetadataTable, RawMetadataValue
from quality.windows.baseline import MIN_HISTORY, Window
from quality.windows.figures import MIN_ROWS

MAX_DISTANCE: Final = 0.3
"""Total variation distance: the share of rows that would have to change their language to give the usual mix."""


def check_language_mix(window: Window, baseline: Sequence[Window]) -> CheckResult:
    """Fails when the mix of languages is far from the usual one, which is the mean of those in the baseline."""
    mix = window.figures.languages
    metadata: dict[str, RawMetadataValue] = {"volume": window.figures.volume, "languages": dict(mix)}
    if reason := too_few_rows(window):
        return CheckResult(passed=True, description=reason, metadata=metadata)
    earlier = [past for past in baseline if past.figures.languages and past.figures.volume >= MIN_ROWS]
    if len(earlier) < MIN_HISTORY:
        return CheckResult(passed=True, description=TOO_LITTLE_HISTORY, metadata=metadata)
    usual = _mean_mix([past.figures.languages for past in earlier])
    distance = _distance(mix, usual)
    names = sorted({*mix, *usual}, key=lambda name: -abs(mix.get(name, 0.0) - usual.get(name, 0.0)))
    moved = names[0]
    passed = distance <= MAX_DISTANCE
    metadata |= {
        "distance": round(distance, 4),
        "limit": MAX_DISTANCE,
        "shares": MetadataTable(
            [
                {"language": name, "now": round(mix.get(name, 0.0), 4), "usual": round(usual.get(name, 0.0), 4)}
                for name in names
            ]
        ),
        "plot": plot_history(
            f"share of {moved}", window, earlier, lambda figures: figures.languages.get(moved, 0.0), passed=passed
        ),
    }
    description = f"the mix of languages differs by {distance:.2f}, at most {MAX_DISTANCE:g}"
    if not passed:
        description += f": {moved} {mix.get(moved, 0.0):.0%}, usually {usual.get(moved, 0.0):.0%}"
    return CheckResult(passed, description, metadata, "WARN")


def _mean_mix(mixes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = {name for mix in mixes for name in mix}
    return {name: sum(mix.get(name, 0.0) for mix in mixes) / len(mixes) for name in names}


def _distance(mix: Mapping[str, float], usual: Mapping[str, float]) -> float:
    return sum(abs(mix.get(name, 0.0) - usual.get(name, 0.0)) for name in {*mix, *usual}) / 2
