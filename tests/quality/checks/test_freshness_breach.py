"""Staleness of a modality, its slowest stage, and the usual rate of quarantine."""

from __future__ import annotations

from quality.checks.backlog import STALLED_S, Backlog
from quality.checks.freshness_breach import (
    FreshnessReading,
    StageBacklog,
    check_freshness_breach,
    slowest_stage,
)
from quality.checks.result import changed_results
from quality.slas import MODALITY_SLAS

SHARES = {"ingest": 0.1, "log": 0.2, "derive": 0.9, "index": 0.3}


def reading(p99_s=1.0, derive=(0, 0.0), index=(0, 0.0), shares=SHARES):
    stages = (StageBacklog("derive-chat", Backlog(*derive)), StageBacklog("index", Backlog(*index)))
    return FreshnessReading("chat", p99_s, shares, stages)


def check(**given):
    return check_freshness_breach(reading(**given), MODALITY_SLAS["chat"])


def test_within_the_budget_is_fresh():
    assert check().passed


def test_a_quiet_time_is_fresh_and_described_as_quiet():
    result = check(p99_s=None, shares={})
    assert result.passed
    assert result.description == "quiet: no recent events, 0 wait"


def test_a_gap_over_the_budget_names_the_stage_with_the_largest_share():
    result = check(p99_s=2.5)
    assert not result.passed
    assert result.metadata["guilty"] == "derive"


def test_a_wait_on_the_log_is_attributed_to_the_deriver():
    assert slowest_stage(reading(shares=SHARES | {"log": 9.0})).startswith("derive-chat")


def test_a_stalled_watermark_is_a_breach_without_landings_and_names_the_worker():
    waiting = (4, STALLED_S + 30)
    result = check(p99_s=None, shares={}, index=waiting)
    assert not result.passed
    assert result.metadata["guilty"] == "index"
    assert "4 wait for index, the oldest for 90 s" in result.description
    assert check(derive=waiting, index=(1, STALLED_S + 1)).metadata["guilty"] == "derive-chat"
    assert check(derive=(4, STALLED_S)).passed, "a busy worker has something waiting all the time"


def test_a_stage_is_not_invented_where_nothing_was_measured():
    assert slowest_stage(reading(shares={})).startswith("unknown")


def test_a_breach_is_a_change_once_and_so_is_its_end():
    good, bad = check(), check(p99_s=9.0)
    first, passed = changed_results({"chat": good}, {})
    assert list(first) == ["chat"]
    begun, passed = changed_results({"chat": bad}, passed)
    assert list(begun) == ["chat"]
    again, passed = changed_results({"chat": bad}, passed)
    assert again == {}
    over, passed = changed_results({"chat": good}, passed)
    assert over["chat"].passed
    assert passed == {"chat": True}
