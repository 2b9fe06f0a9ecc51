from quality.checks.bytes_stored import check_bytes_stored


def row(event_id, sha256, size=3):
    return {"event_id": event_id, "blob_sha256": sha256, "blob_size": size}


def test_a_blob_that_two_events_share_counts_once():
    result = check_bytes_stored([row("a", "x"), row("b", "x"), row("c", "y", 5)], {"x": 3, "y": 5})
    assert result.passed
    assert (result.metadata["events"], result.metadata["blobs"], result.metadata["bytes"]) == (3, 2, 8)


def test_a_missing_or_truncated_blob_is_named_by_its_event():
    result = check_bytes_stored([row("a", "x"), row("b", "gone"), row("c", "short", 5)], {"x": 3, "short": 4})
    assert not result.passed
    assert result.metadata["ids"] == ["b", "c"]
    assert (result.metadata["missing"], result.metadata["of_another_size"]) == (1, 1)


def test_an_hour_without_blobs_passes():
    assert check_bytes_stored([], {}).passed
    assert check_bytes_stored([], {}).description == "no event of this hour has bytes"
