"""The check of a watermark against its source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from quality.checks.backlog import Backlog
from quality.checks.watermark import check_watermark

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EARLIER = NOON - timedelta(seconds=30)
NOTHING_WAITS = Backlog(0)
STALLED = Backlog(7, 90.0)


@pytest.mark.parametrize(
    ("at", "source", "backlog", "passed", "description"),
    [
        (NOON, NOON, STALLED, True, "up to its source"),
        (NOON, None, STALLED, True, "up to its source"),
        (None, None, NOTHING_WAITS, True, "no rows"),
        (EARLIER, NOON, NOTHING_WAITS, True, "nothing has stalled"),
        (EARLIER, NOON, Backlog(7, 5.0), True, "nothing has stalled"),
        (EARLIER, NOON, STALLED, False, "7 wait, the oldest for 90 s"),
        (None, NOON, STALLED, False, "has stalled"),
        (NOON + timedelta(minutes=6), None, NOTHING_WAITS, False, "360 s in the future"),
        (NOON + timedelta(minutes=4), None, NOTHING_WAITS, True, "up to its source"),
    ],
)
def test_a_watermark_fails_when_it_has_stalled_or_lies_in_the_future(at, source, backlog, passed, description):
    result = check_watermark(at, source, backlog, NOON)
    assert result.passed is passed
    assert description in result.description


def test_the_lag_of_a_watermark_is_reported():
    assert check_watermark(EARLIER, NOON, NOTHING_WAITS, NOON).metadata["behind_s"] == 30.0
    assert "behind_s" not in check_watermark(None, NOON, NOTHING_WAITS, NOON).metadata
