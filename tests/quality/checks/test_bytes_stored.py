from quality.checks.bytes_stored import stored


def row(event_id, sha256, size=3):
    return {"event_id": event_id, "blob_sha256": sha256, "blob_size": size}


def test_bytes_that_are_all_there_are_counted_once_for_two_events():
    verdict = stored([row("a", "x"), row("b", "x"), row("c", "y", 5)], {"x": 3, "y": 5})
    assert verdict.holds
    assert (verdict.figures["events"], verdict.figures["blobs"], verdict.figures["bytes"]) == (3, 2, 8)


def test_what_is_missing_or_cut_short_is_named_by_its_event():
    verdict = stored([row("a", "x"), row("b", "gone"), row("c", "short", 5)], {"x": 3, "short": 4})
    assert not verdict.holds
    assert verdict.figures["ids"] == ["b", "c"]
    assert (verdict.figures["missing"], verdict.figures["of_another_size"]) == (1, 1)


def test_an_hour_without_bytes_holds_and_says_so():
    assert stored([], {}).holds
    assert stored([], {}).words == "no event of this hour has bytes"
