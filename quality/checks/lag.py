"""Check ``lag``: a modality's lag against the gateway's water marks, with hysteresis. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from quality.checks.result import CheckResult


@dataclass(frozen=True, slots=True)
class LagThresholds:
    """Water marks in events behind: at ``high`` sources are slowed, at ``low`` they may continue."""

    high: int
    low: int


def check_lag(lag: int, thresholds: LagThresholds, *, passed_before: bool | None = None) -> CheckResult:
    """Fails from the high-water mark until the lag is down to the low one.

    Args:
        lag: events that the derivers are behind.
        thresholds: the water marks.
        passed_before: the last reported outcome, which holds between the marks; without it only the high mark counts.
    """
    low = lag < thresholds.high if passed_before is not False else lag <= min(thresholds.low, thresholds.high - 1)
    description = f"{lag} events behind; sources are slowed at {thresholds.high} and continue at {thresholds.low}"
    metadata = {"lag": lag, "high_water": thresholds.high, "low_water": thresholds.low}
    return CheckResult(passed=low, description=description, metadata=metadata)
