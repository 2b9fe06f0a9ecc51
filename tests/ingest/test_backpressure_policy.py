"""The policy of backpressure, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.ingest.backpressure_policy import (
    BackpressureThresholds,
    DeriverBacklog,
    decide,
    exceeded,
    is_behind,
    retry_after_s,
)

THRESHOLDS = BackpressureThresholds(high_lag=100, low_lag=40, high_age_s=60.0, low_age_s=20.0)
backlogs = st.builds(DeriverBacklog, st.integers(0, 10**6), st.floats(0, 10**5))
thresholds = st.builds(
    BackpressureThresholds,
    st.integers(1, 10**5),
    st.integers(0, 10**5),
    st.one_of(st.just(0.0), st.floats(1, 10**4)),
    st.floats(0, 10**4),
)


@pytest.mark.parametrize(
    ("backlog", "reached"),
    [
        (DeriverBacklog(99, 59.9), ()),
        (DeriverBacklog(100, 0.0), ("lag",)),
        (DeriverBacklog(1, 60.0), ("age",)),
        (DeriverBacklog(100, 60.0), ("lag", "age")),
    ],
)
def test_high_water_is_reached_by_the_lag_or_by_the_age(backlog, reached):
    assert exceeded(backlog, THRESHOLDS) == reached
    assert is_behind(backlog, THRESHOLDS, was_behind=False) == bool(reached)


@pytest.mark.parametrize(
    ("backlog", "still"),
    [
        (DeriverBacklog(41, 0.0), True),
        (DeriverBacklog(40, 20.1), True),
        (DeriverBacklog(40, 20.0), False),
        (DeriverBacklog(0, 0.0), False),
    ],
)
def test_a_modality_stays_behind_until_both_are_down(backlog, still):
    assert is_behind(backlog, THRESHOLDS, was_behind=True) == still


@given(backlogs, thresholds)
def test_between_the_thresholds_nothing_changes(backlog, given_thresholds):
    """A backlog that makes a modality behind never ends that state, with any thresholds."""
    if is_behind(backlog, given_thresholds, was_behind=False):
        assert is_behind(backlog, given_thresholds, was_behind=True)
    assert not is_behind(DeriverBacklog(0, 0.0), given_thresholds, was_behind=True), "an empty backlog is never behind"


def test_an_age_threshold_of_zero_is_off():
    by_lag = BackpressureThresholds(high_lag=10, low_lag=5)
    assert exceeded(DeriverBacklog(9, 10**6), by_lag) == ()
    assert not is_behind(DeriverBacklog(5, 10**6), by_lag, was_behind=True)


@pytest.mark.parametrize(
    ("policy", "calm", "pressed"),
    [("buffer", "accept", "accept"), ("throttle", "accept", "throttle"), ("shed", "accept", "shed")],
)
def test_a_policy_matters_only_while_derivers_are_behind(policy, calm, pressed):
    assert decide(policy, is_behind=False) == calm
    assert decide(policy, is_behind=True) == pressed


@given(backlogs, thresholds, st.floats(-(10**4), 10**4))
def test_retry_after_is_within_1_to_60_seconds(backlog, given_thresholds, rate):
    assert 1.0 <= retry_after_s(backlog, given_thresholds, rate) <= 60.0


def test_retry_after_is_the_time_to_low_water():
    assert retry_after_s(DeriverBacklog(240, 0.0), THRESHOLDS, 10.0) == 20.0
    assert retry_after_s(DeriverBacklog(40, 50.0), THRESHOLDS, 10.0) == 5.0, "no rate predicts the end of an old event"
