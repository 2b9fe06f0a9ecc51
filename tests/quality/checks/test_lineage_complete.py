"""The check that every row is traced to its events and its bytes."""

from __future__ import annotations

from quality.checks.lineage_complete import BlobSample, check_lineage_complete, sample_ids


def test_a_row_without_references_or_with_absent_ones_is_untraceable():
    points = {"a": ["1", "2"], "b": ["3"], "c": []}
    result = check_lineage_complete(points, {"1", "2"})
    assert not result.passed
    assert result.metadata["ids"] == ["b", "c"]
    assert result.metadata["ids_absent"] == ["3"]
    assert check_lineage_complete({"a": ["1", "2"]}, {"1", "2"}).passed
    assert check_lineage_complete({}, set()).description == "no rows in this hour"


def test_missing_blobs_fail_and_the_sample_size_is_reported():
    result = check_lineage_complete({"a": ["1"]}, {"1"}, BlobSample(total=120, checked=50, missing=["e7"]))
    assert not result.passed
    assert "1 of the 50 blobs checked (of 120)" in result.description
    assert result.metadata["ids_without_bytes"] == ["e7"]
    assert check_lineage_complete({"a": ["1"]}, {"1"}, BlobSample(total=3, checked=3)).passed


def test_a_sample_is_bounded_and_the_same_in_every_run():
    ids = {f"e{number:03d}" for number in range(90)}
    assert sample_ids(ids) == sample_ids(list(ids)[::-1]) == [f"e{number:03d}" for number in range(50)]
