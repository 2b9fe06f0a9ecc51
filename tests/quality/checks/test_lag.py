"""The check of the lag against the gateway's thresholds."""

from __future__ import annotations

from quality.checks.lag import LagThresholds, check_lag


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
