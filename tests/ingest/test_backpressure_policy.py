"""The policy of backpressure, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.ingest.backpressure_policy import Depth, Marks, behind, over, verdict, wait_s

MARKS = Marks(high_lag=100, low_lag=40, high_age_s=60.0, low_age_s=20.0)
depths = st.builds(Depth, st.integers(0, 10**6), st.floats(0, 10**5))
marks = st.builds(
    Marks,
    st.integers(1, 10**5),
    st.integers(0, 10**5),
    st.one_of(st.just(0.0), st.floats(1, 10**4)),
    st.floats(0, 10**4),
)


@pytest.mark.parametrize(
    ("depth", "reached"),
    [
        (Depth(99, 59.9), ()),
        (Depth(100, 0.0), ("lag",)),
        (Depth(1, 60.0), ("age",)),
        (Depth(100, 60.0), ("lag", "age")),
    ],
)
def test_high_water_is_reached_by_the_lag_or_by_the_age(depth, reached):
    assert over(depth, MARKS) == reached
    assert behind(depth, MARKS, before=False) == bool(reached)


@pytest.mark.parametrize(
    ("depth", "still"),
    [(Depth(41, 0.0), True), (Depth(40, 20.1), True), (Depth(40, 20.0), False), (Depth(0, 0.0), False)],
)
def test_it_lasts_until_both_are_down(depth, still):
    assert behind(depth, MARKS, before=True) == still


@given(depths, marks)
def test_between_the_marks_nothing_changes(depth, given_marks):
    """What begins a state never ends it, whatever the marks are."""
    if behind(depth, given_marks, before=False):
        assert behind(depth, given_marks, before=True)
    assert not behind(Depth(0, 0.0), given_marks, before=True), "what is empty is never behind"


def test_an_age_mark_of_nothing_is_not_looked_at():
    by_lag = Marks(high_lag=10, low_lag=5)
    assert over(Depth(9, 10**6), by_lag) == ()
    assert not behind(Depth(5, 10**6), by_lag, before=True)


@pytest.mark.parametrize(
    ("policy", "calm", "pressed"), [("buffer", "take", "take"), ("slow", "take", "slow"), ("shed", "take", "shed")]
)
def test_a_policy_matters_only_while_derivers_are_behind(policy, calm, pressed):
    assert verdict(policy, behind=False) == calm
    assert verdict(policy, behind=True) == pressed


@given(depths, marks, st.floats(-(10**4), 10**4))
def test_a_wait_is_never_none_and_never_endless(depth, given_marks, rate):
    assert 1.0 <= wait_s(depth, given_marks, rate) <= 60.0


def test_a_wait_is_what_draining_takes():
    assert wait_s(Depth(240, 0.0), MARKS, 10.0) == 20.0
    assert wait_s(Depth(40, 50.0), MARKS, 10.0) == 5.0, "no rate says how long what is old still takes"
