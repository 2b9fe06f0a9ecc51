"""Offsets without a row, and which of them are lost."""

from __future__ import annotations

from quality.checks.offset_gaps import (
    DUPLICATE_REASON,
    LOST_REASON,
    NO_RECORD_REASON,
    check_offset_gaps,
    find_offset_gaps,
)


def test_offset_gaps_lie_between_the_first_row_and_the_archived_offset():
    landed = [(0, 4), (0, 6), (1, 0), (1, 1)]
    assert find_offset_gaps(landed, {0: 9, 1: 2}) == {0: [5, 7, 8]}
    assert find_offset_gaps(landed, {}) == {}
    assert find_offset_gaps([], {0: 9}) == {}


def test_only_offsets_without_a_reason_are_lost():
    assert check_offset_gaps(9, {(0, 5): DUPLICATE_REASON, (0, 7): NO_RECORD_REASON}).passed
    result = check_offset_gaps(9, {(0, 5): DUPLICATE_REASON, (1, 7): LOST_REASON})
    assert not result.passed
    assert result.metadata["places"] == ["1/7"]
    assert result.metadata["reasons"] == {DUPLICATE_REASON: 1.0, LOST_REASON: 1.0}
    assert not check_offset_gaps(9, {}, unchecked=5_000).passed, "unchecked offsets never pass"
    assert check_offset_gaps(0, {}).description.startswith("quiet")
