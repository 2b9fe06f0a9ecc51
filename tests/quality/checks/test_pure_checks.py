"""Checks of watermarks, lineage, offset gaps and lag."""

from datetime import UTC, datetime, timedelta

import pytest

from quality.checks.backlog import Backlog
from quality.checks.lag import LagThresholds, check_lag
from quality.checks.lineage_complete import BlobSample, check_lineage_complete, sample_ids
from quality.checks.offset_gaps import (
    DUPLICATE_REASON,
    LOST_REASON,
    NO_RECORD_REASON,
    check_offset_gaps,
    find_offset_gaps,
)
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


def test_a_row_without_references_or_with_absent_ones_is_untraceable():
    points = {"a": ["1", "2"], "b": ["3"], "c": []}
    result = check_lineage_complete(points, {"1", "2"})
    assert not result.passed
    assert result.metadata["ids"] == ["b", "c"]
    assert result.metadata["ids_absent"] == ["3"]
    assert check_lineage_complete({"a": ["1", "2"]}, {"1", "2"}).passed
    assert check_lineage_complete({}, set()).description == "no rows in this hour"


def test_missing_blobs_fail_and_the_sample_size_is_reported():
    result = check_lineage_complete({"a": ["1"]}, {"1"}, BlobSample(total=120, checked=50, missing=["e7"]))
    assert not result.passed
    assert "1 of the 50 blobs checked (of 120)" in result.description
    assert result.metadata["ids_without_bytes"] == ["e7"]
    assert check_lineage_complete({"a": ["1"]}, {"1"}, BlobSample(total=3, checked=3)).passed


def test_a_sample_is_bounded_and_the_same_in_every_run():
    ids = {f"e{number:03d}" for number in range(90)}
    assert sample_ids(ids) == sample_ids(list(ids)[::-1]) == [f"e{number:03d}" for number in range(50)]


def test_offset_gaps_lie_between_the_first_row_and_the_archived_offset():
    landed = [(0, 4), (0, 6), (1, 0), (1, 1)]
    assert find_offset_gaps(landed, {0: 9, 1: 2}) == {0: [5, 7, 8]}
    assert find_offset_gaps(landed, {}) == {}
    assert find_offset_gaps([], {0: 9}) == {}


def test_only_offsets_without_a_reason_are_lost():
    assert check_offset_gaps(9, {(0, 5): DUPLICATE_REASON, (0, 7): NO_RECORD_REASON}).passed
    result = check_offset_gaps(9, {(0, 5): DUPLICATE_REASON, (1, 7): LOST_REASON})
    assert not result.passed
    assert result.metadata["places"] == ["1/7"]
    assert result.metadata["reasons"] == {DUPLICATE_REASON: 1.0, LOST_REASON: 1.0}
    assert not check_offset_gaps(9, {}, unchecked=5_000).passed, "unchecked offsets never pass"
    assert check_offset_gaps(0, {}).description.startswith("quiet")


def test_the_lag_fails_from_the_high_mark_until_the_low_one():
    marks, outcomes = LagThresholds(high=10, low=4), []
    low = None
    for lag in (0, 9, 10, 9, 5, 4, 9, 10):
        low = check_lag(lag, marks, passed_before=low).passed
        outcomes.append(low)
    assert outcomes == [True, True, False, False, False, True, True, False]


def test_without_an_earlier_outcome_only_the_high_mark_counts():
    assert check_lag(9, LagThresholds(high=10, low=4)).passed
    assert not check_lag(10, LagThresholds(high=10, low=4)).passed
