"""The check of an hour's quarantined events, and the reasons that are new."""

from __future__ import annotations

from quality.checks.quarantine_rate import MAX_REASONS, check_quarantine_rate, count_reasons, new_rows


def quarantined(offset, reason="text: not blank", topic_partition=0):
    log_position = {"topic_partition": topic_partition, "log_offset": offset}
    return {"contract": "raw_chats", "reasons": [reason], **log_position}


def test_only_unreported_rows_are_new():
    rows = [quarantined(0), quarantined(1), quarantined(0, topic_partition=1)]
    fresh, seen = new_rows(rows, {0: 1})
    assert fresh == [rows[1], rows[2]]
    assert seen == {0: 2, 1: 1}
    assert new_rows(rows, seen) == ([], seen)


def test_reasons_are_counted_and_only_the_most_frequent_are_reported():
    assert count_reasons([quarantined(0), quarantined(1), quarantined(2, "other")]) == {
        "raw_chats: text: not blank": 2,
        "raw_chats: other": 1,
    }
    assert len(count_reasons([quarantined(n, f"reason {n}") for n in range(100)])) == MAX_REASONS


def test_more_than_is_usual_in_an_hour_is_too_much():
    assert check_quarantine_rate([quarantined(n) for n in range(3)], max_rows=3).passed
    assert not check_quarantine_rate([quarantined(n) for n in range(4)], max_rows=3).passed
