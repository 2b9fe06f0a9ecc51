"""Verdicts on watermarks, pointers, holes in the log and backlogs."""

from datetime import UTC, datetime, timedelta

import pytest

from quality.checks.lag import Marks, water
from quality.checks.lineage_complete import Bytes, sample, traced
from quality.checks.offset_gaps import LOST, NO_RECORD, REPEATED, gapless, holes
from quality.checks.verdict import Backlog
from quality.checks.watermark import moved

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EARLIER = NOON - timedelta(seconds=30)
NOBODY = Backlog(0)
IN_VAIN = Backlog(7, 90.0)


@pytest.mark.parametrize(
    ("at", "source", "backlog", "holds", "words"),
    [
        (NOON, NOON, IN_VAIN, True, "up to its source"),
        (NOON, None, IN_VAIN, True, "up to its source"),
        (None, None, NOBODY, True, "no rows"),
        (EARLIER, NOON, NOBODY, True, "nothing waits in vain"),
        (EARLIER, NOON, Backlog(7, 5.0), True, "nothing waits in vain"),
        (EARLIER, NOON, IN_VAIN, False, "7 wait, the oldest for 90 s"),
        (None, NOON, IN_VAIN, False, "stands still"),
        (NOON + timedelta(minutes=6), None, NOBODY, False, "360 s in the future"),
        (NOON + timedelta(minutes=4), None, NOBODY, True, "up to its source"),
    ],
)
def test_a_watermark_is_wrong_when_it_stands_while_something_waits_or_is_yet_to_come(at, source, backlog, holds, words):
    verdict = moved(at, source, backlog, NOON)
    assert verdict.holds is holds
    assert words in verdict.words


def test_how_far_a_watermark_is_behind_is_told():
    assert moved(EARLIER, NOON, NOBODY, NOON).figures["behind_s"] == 30.0
    assert "behind_s" not in moved(None, NOON, NOBODY, NOON).figures


def test_a_row_that_points_at_nothing_or_at_what_is_not_there_cannot_be_traced():
    points = {"a": ["1", "2"], "b": ["3"], "c": []}
    verdict = traced(points, {"1", "2"})
    assert not verdict.holds
    assert verdict.figures["ids"] == ["b", "c"]
    assert verdict.figures["ids_absent"] == ["3"]
    assert traced({"a": ["1", "2"]}, {"1", "2"}).holds
    assert traced({}, set()).words == "no rows in this hour"


def test_bytes_that_are_gone_fail_and_the_sample_is_told():
    verdict = traced({"a": ["1"]}, {"1"}, Bytes(total=120, looked_at=50, missing=["e7"]))
    assert not verdict.holds
    assert "1 of the 50 blobs looked at (of 120)" in verdict.words
    assert verdict.figures["ids_without_bytes"] == ["e7"]
    assert traced({"a": ["1"]}, {"1"}, Bytes(total=3, looked_at=3)).holds


def test_a_sample_is_bounded_and_the_same_in_every_look():
    ids = {f"e{number:03d}" for number in range(90)}
    assert sample(ids) == sample(list(ids)[::-1]) == [f"e{number:03d}" for number in range(50)]


def test_holes_are_between_the_first_row_and_what_is_archived():
    landed = [(0, 4), (0, 6), (1, 0), (1, 1)]
    assert holes(landed, {0: 9, 1: 2}) == {0: [5, 7, 8]}
    assert holes(landed, {}) == {}
    assert holes([], {0: 9}) == {}


def test_only_what_has_no_reason_is_lost():
    assert gapless(9, {(0, 5): REPEATED, (0, 7): NO_RECORD}).holds
    verdict = gapless(9, {(0, 5): REPEATED, (1, 7): LOST})
    assert not verdict.holds
    assert verdict.figures["places"] == ["1/7"]
    assert verdict.figures["reasons"] == {REPEATED: 1.0, LOST: 1.0}
    assert not gapless(9, {}, unlooked=5_000).holds, "what was not looked at is not told to be well"
    assert gapless(0, {}).words.startswith("quiet")


def test_water_is_high_from_the_high_mark_until_the_low_one():
    marks, said = Marks(high=10, low=4), []
    low = None
    for lag in (0, 9, 10, 9, 5, 4, 9, 10):
        low = water(lag, marks, was_low=low).holds
        said.append(low)
    assert said == [True, True, False, False, False, True, True, False]


def test_without_a_memory_only_the_high_mark_counts():
    assert water(9, Marks(high=10, low=4)).holds
    assert not water(10, Marks(high=10, low=4)).holds
