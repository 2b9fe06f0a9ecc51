from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.events import utc_now
from mmplatform.telemetry.freshness import (
    STAGES,
    FreshnessTracker,
    Quantiles,
    freshness_gap,
    freshness_payload,
    retrievable_at,
)
from tests.builders import NOW, stamps


def test_the_stages_add_up_to_the_gap():
    gap = freshness_gap(stamps(), NOW + timedelta(seconds=10))
    assert gap.stages == (1.0, 2.0, 3.0, 4.0)
    assert gap.total == sum(gap.stages) == 10.0


def test_a_missing_stamp_gives_its_time_to_the_next_stage():
    gap = freshness_gap(stamps(taken_at=None), NOW + timedelta(seconds=10))
    assert gap.stages == (1.0, 0.0, 5.0, 4.0)


def test_a_passage_is_retrievable_on_the_log_that_gateways_follow_and_else_in_the_index():
    logged = stamps(logged_at=NOW + timedelta(seconds=7))
    indexed_at = NOW + timedelta(seconds=30)
    assert retrievable_at(logged, indexed_at, has_tail=True) == logged.logged_at
    assert retrievable_at(logged, indexed_at, has_tail=False) == indexed_at
    assert retrievable_at(stamps(), indexed_at, has_tail=True) == indexed_at, "a record without its append time"
    rounded = stamps(logged_at=stamps().derived_at - timedelta(microseconds=900))
    assert retrievable_at(rounded, indexed_at, has_tail=True) == rounded.derived_at


def test_no_events_is_not_a_gap_of_zero():
    assert Quantiles.from_seconds([]) is None
    assert FreshnessTracker().summary() == {}


def test_quantiles_of_a_known_distribution():
    found = Quantiles.from_seconds(float(n) for n in range(101))
    assert found is not None
    assert (found.count, found.p50, found.p95, found.p99, found.max) == (101, 50.0, 95.0, 99.0, 100.0)


def test_each_modality_has_its_own_window_watermark_and_slowest_stage():
    tracker = FreshnessTracker()
    tracker.record("chat", stamps(), NOW + timedelta(seconds=20))
    tracker.record("call", stamps(derived_at=NOW + timedelta(seconds=30)), NOW + timedelta(seconds=31))
    older = stamps(event_time=NOW - timedelta(hours=1))
    tracker.record("chat", older, NOW + timedelta(seconds=20))
    found = tracker.summary()
    assert set(found) == {"chat", "call"}
    assert found["chat"].watermark == NOW
    assert found["chat"].gap.count == 2
    assert found["call"].slowest == "derive"


def test_what_left_the_window_is_forgotten():
    tracker = FreshnessTracker(window_s=-1.0)
    tracker.record("chat", stamps(), NOW + timedelta(seconds=20))
    assert tracker.summary() == {}


def test_a_tracker_says_since_when_it_measures():
    before = utc_now()
    assert before <= FreshnessTracker().measured_since <= utc_now()


def test_the_page_names_every_stage():
    tracker = FreshnessTracker()
    tracker.record("chat", stamps(), NOW + timedelta(seconds=10))
    page = freshness_payload(tracker.summary())["chat"]
    assert list(page["stages"]) == list(STAGES)
    assert page["gap"]["p99"] == pytest.approx(10.0)
