"""The check of the canaries: what fails it, and the figures that it shows."""

from __future__ import annotations

from quality.checks.canaries import CanaryReading, check_canaries

FOUND = CanaryReading({"found": 9, "throttled": 1}, 0, {"p50": 0.2, "p99": 0.9})


def test_canaries_that_are_found_pass_with_their_gap():
    result = check_canaries({"chat": FOUND})
    assert result.passed
    assert result.metadata == {
        "chat_canaries": 10, "chat_found": 9, "chat_false_receipts": 0, "chat_p50_s": 0.2, "chat_p99_s": 0.9,
    }  # fmt: skip


def test_a_receipt_that_claimed_too_much_fails():
    result = check_canaries({"chat": FOUND, "call": CanaryReading({"found": 1}, 1, {})})
    assert not result.passed
    assert "call: receipts claimed 1" in result.description


def test_a_topic_partition_whose_last_canary_was_not_found_fails():
    result = check_canaries({"chat": CanaryReading({"found": 3, "missing": 1}, 0, {}, ("2",))})
    assert not result.passed
    assert "topic partition 2" in result.description


def test_without_canaries_it_is_quiet():
    assert check_canaries({}).passed
    assert check_canaries({}).description == "quiet: no canary yet"
