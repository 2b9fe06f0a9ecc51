"""When a modality is stale and who is guilty, and what is too much in quarantine."""

from __future__ import annotations

from quality.checks.freshness_breach import Reading, Stage, guilty, stale, turned
from quality.checks.quarantine_rate import MOST_REASONS, by_reason, crowded, news
from quality.checks.verdict import STALLED_S, Backlog
from quality.slas import MODALITY_SLAS

SHARES = {"ingest": 0.1, "log": 0.2, "derive": 0.9, "index": 0.3}


def reading(p99_s=1.0, derive=(0, 0.0), index=(0, 0.0), shares=SHARES):
    stages = (Stage("derive-chat", Backlog(*derive)), Stage("index", Backlog(*index)))
    return Reading("chat", p99_s, shares, stages)


def judged(**given):
    return stale(reading(**given), MODALITY_SLAS["chat"])


def test_within_the_budget_is_fresh():
    assert judged().holds


def test_quiet_is_fresh_and_says_so():
    verdict = judged(p99_s=None, shares={})
    assert verdict.holds
    assert verdict.words == "quiet: nothing came lately, 0 wait"


def test_a_gap_over_the_budget_names_the_stage_with_the_largest_share():
    verdict = judged(p99_s=2.5)
    assert not verdict.holds
    assert verdict.figures["guilty"] == "derive"


def test_waiting_on_the_log_is_the_deriver_s_fault():
    assert guilty(reading(shares=SHARES | {"log": 9.0})).startswith("derive-chat")


def test_a_standing_watermark_is_a_breach_although_nothing_landed_and_names_who_does_not_take_it_up():
    waiting = (4, STALLED_S + 30)
    verdict = judged(p99_s=None, shares={}, index=waiting)
    assert not verdict.holds
    assert verdict.figures["guilty"] == "index"
    assert "4 wait for index, the oldest for 90 s" in verdict.words
    assert judged(derive=waiting, index=(1, STALLED_S + 1)).figures["guilty"] == "derive-chat"
    assert judged(derive=(4, STALLED_S)).holds, "a busy worker has something waiting all the time"


def test_a_stage_is_not_invented_where_nothing_was_measured():
    assert guilty(reading(shares={})).startswith("unknown")


def test_a_breach_is_news_once_and_so_is_its_end():
    good, bad = judged(), judged(p99_s=9.0)
    first, known = turned({"chat": good}, {})
    assert list(first) == ["chat"]
    begun, known = turned({"chat": bad}, known)
    assert list(begun) == ["chat"]
    again, known = turned({"chat": bad}, known)
    assert again == {}
    over, known = turned({"chat": good}, known)
    assert over["chat"].holds
    assert known == {"chat": True}


def aside(offset, reason="text: not blank", topic_partition=0):
    place = {"topic_partition": topic_partition, "log_offset": offset}
    return {"contract": "raw_chats", "reasons": [reason], **place}


def test_only_rows_that_nobody_was_told_of_are_news():
    rows = [aside(0), aside(1), aside(0, topic_partition=1)]
    fresh, seen = news(rows, {0: 1})
    assert fresh == [rows[1], rows[2]]
    assert seen == {0: 2, 1: 1}
    assert news(rows, seen) == ([], seen)


def test_reasons_are_counted_and_only_the_most_frequent_are_told():
    assert by_reason([aside(0), aside(1), aside(2, "other")]) == {
        "raw_chats: text: not blank": 2,
        "raw_chats: other": 1,
    }
    assert len(by_reason([aside(n, f"reason {n}") for n in range(100)])) == MOST_REASONS


def test_more_than_is_usual_in_an_hour_is_too_much():
    assert crowded([aside(n) for n in range(3)], most=3).holds
    assert not crowded([aside(n) for n in range(4)], most=3).holds
