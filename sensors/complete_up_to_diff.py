"""From readings of the stream to what is reported: completeness and its check. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import AwareDatetime, Field

from quality.checks.complete_up_to import StreamReading, check_complete_up_to, incompleteness
from quality.checks.result import CheckResult
from quality.slas import ASSET_WINDOWS, LandingWindow
from sensors.cursors import SensorCursor

_MAX_INTERVAL: Final = timedelta(hours=6)
_SETTLED_AFTER: Final = timedelta(seconds=45)
"""Less than two ticks. A stream at work has waiting records at one tick and none at the next."""

_LAST_REPORT_WITHIN: Final = timedelta(seconds=120)
"""Four ticks: so late a report may be on a busy machine."""


class CompleteUpToCursor(SensorCursor):
    """For each asset: complete up to, when it was last reported, and the last outcome.

    Then the last time at which nothing waited, and the newest such time that was reported.
    """

    version: Literal[1] = 1
    up_to: dict[str, AwareDatetime] = Field(default_factory=dict)
    reported: dict[str, AwareDatetime] = Field(default_factory=dict)
    passed: dict[str, bool] = Field(default_factory=dict)
    complete_at: dict[str, AwareDatetime] = Field(default_factory=dict)
    reported_complete_at: dict[str, AwareDatetime] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CompletenessReport:
    """An asset to report: its check, and whether it counts as a materialization for the freshness policy."""

    asset: str
    up_to: datetime
    complete: bool
    result: CheckResult


def report_interval(window: LandingWindow) -> timedelta:
    """Return the time between two reports of a complete asset: half of what makes Dagster warn, at most six hours."""
    return min(timedelta(seconds=(window.warn_s or window.fail_s) / 2), _MAX_INTERVAL)


def diff_completeness(
    readings: Mapping[str, StreamReading],
    cursor: CompleteUpToCursor,
    now: datetime,
    windows: Mapping[str, LandingWindow] = ASSET_WINDOWS,
    unreadable: str = "",
) -> tuple[list[CompletenessReport], CompleteUpToCursor]:
    """Return what to report now, and the cursor after it.

    When an asset is complete no more, the last time at which it was is reported once. So the policy fails a window
    after that time, and not a window after the last of the regular reports, which may be minutes older.

    Args:
        readings: by asset; empty when log or stack could not be read.
        cursor: of the last tick.
        now: the time of the tick.
        windows: the window of each asset.
        unreadable: why nothing could be read.
    """
    up_to, reported, passed = dict(cursor.up_to), dict(cursor.reported), dict(cursor.passed)
    complete_at, reported_complete_at = dict(cursor.complete_at), dict(cursor.reported_complete_at)
    reports = []
    for asset, window in windows.items():
        reading = readings.get(asset)
        if reading is not None and not reading.down:
            reached = reading.read_at - timedelta(seconds=reading.waiting_s)
            up_to[asset] = max(reached, up_to.get(asset, reached))
        if asset not in up_to:
            continue  # never read: nothing is known, and nothing is claimed
        reason = unreadable if reading is None else incompleteness(reading)
        result = check_complete_up_to(up_to[asset], now, window, reason)
        complete, claimed_at = reading is not None and reading.complete, up_to[asset]
        if complete:
            complete_at[asset] = claimed_at
        ended = not complete and _is_unreported(complete_at.get(asset), reported_complete_at.get(asset), now)
        if ended:
            claimed_at = complete_at[asset]
        due = ended or asset not in reported or now - reported[asset] >= report_interval(window)
        if due or passed.get(asset) is not result.passed:
            reports.append(CompletenessReport(asset, claimed_at, complete or ended, result))
            reported[asset], passed[asset] = now, result.passed
            if complete or ended:
                reported_complete_at[asset] = claimed_at
    return reports, CompleteUpToCursor(
        up_to=up_to,
        reported=reported,
        passed=passed,
        complete_at=complete_at,
        reported_complete_at=reported_complete_at,
    )


def _is_unreported(complete_at: datetime | None, reported: datetime | None, now: datetime) -> bool:
    """True when an asset was complete after the last such report, and has not been for a tick or a few.

    Dagster's policy counts from the report: hours later, after an outage of Dagster, it would turn a red asset green.
    """
    if complete_at is None or reported is None:
        return False
    return complete_at > reported and _SETTLED_AFTER <= now - complete_at <= _LAST_REPORT_WITHIN
