"""The check of the freshness gaps of an hour, and of what waits."""

from __future__ import annotations

from quality.checks.backlog import STALLED_S, Backlog, combine_backlogs
from quality.checks.freshness_gap import check_freshness
from quality.slas import MODALITY_SLAS

NOTHING_WAITS = Backlog(lag=0)


def test_gaps_within_the_budget_hold_and_one_in_fifty_over_it_does_not():
    assert check_freshness({"chat": [0.5] * 100}, MODALITY_SLAS, NOTHING_WAITS).passed
    result = check_freshness({"chat": [0.5] * 49 + [9.0], "call": [4.0]}, MODALITY_SLAS, NOTHING_WAITS)
    assert not result.passed
    assert result.description == "chat: 98.0% within 2 s, 99% promised"
    assert result.metadata["chat_p50_s"] == 0.5


def test_a_quiet_hour_is_not_stale():
    result = check_freshness({}, MODALITY_SLAS, NOTHING_WAITS)
    assert result.passed
    assert result.description == "quiet: nothing landed and nothing waits"


def test_a_long_wait_is_a_stalled_watermark_and_a_short_one_is_not():
    assert check_freshness({}, MODALITY_SLAS, Backlog(3, STALLED_S)).passed
    result = check_freshness({}, MODALITY_SLAS, Backlog(3, STALLED_S + 1))
    assert not result.passed
    assert "3 wait, the oldest for 61 s" in result.description


def test_a_wait_for_a_full_write_is_no_stall_and_a_longer_one_is():
    assert not Backlog(3, STALLED_S + 30, batching_s=30).stalled
    assert Backlog(3, STALLED_S + 31, batching_s=30).stalled
    derivers, index = Backlog(1, STALLED_S + 5), Backlog(40, STALLED_S + 20, batching_s=30)
    assert combine_backlogs([index, derivers]).stalled
    assert combine_backlogs([index, derivers]).lag == 41
    assert not combine_backlogs([index, Backlog(1, 3)]).stalled
    assert combine_backlogs([]) == Backlog(0)
