"""The check that every event and every passage is accounted for."""

from __future__ import annotations

from datetime import timedelta

from mmplatform.events import utc_now
from mmplatform.identity import event_uid
from quality.checks.completeness import (
    CALL_END_REASON,
    NO_SPEECH_REASON,
    IndexedPassage,
    check_events_accounted,
    check_index_matches_table,
)
from quality.checks.result import INCOMPLETE_PARTITIONS

NOW = utc_now()
OLD = NOW - timedelta(hours=1)


def uid(event_id, conversation="c1"):
    return event_uid("default", "crm", conversation, event_id)


def event(event_id, kind="chat_message", offset=0, ingested_at=OLD, generation=0):
    log_position = {"topic": "t", "topic_partition": 0, "log_offset": offset, "log_generation": generation}
    return {"event_id": event_id, "event_uid": uid(event_id), "kind": kind, "ingested_at": ingested_at, **log_position}


def check_events(*events, derived=(), quarantined=(), done=100, generation=0):
    settled = NOW - timedelta(minutes=2)
    return check_events_accounted(
        events,
        derived_uids=[[uid(event_id) for event_id in event_ids] for event_ids in derived],
        quarantined_uids={uid(event_id) for event_id in quarantined},
        consumed_offsets={("t", 0): done},
        log_generation=generation,
        settled_before=settled,
    )


def test_every_event_ends_in_an_artifact_in_quarantine_or_with_a_reason():
    result = check_events(
        event("made", "call_chunk"),
        event("bad"),
        event("end", "call_end"),
        event("silent", "call_chunk"),
        event("young", ingested_at=NOW),
        derived=[["other", "made"]],
        quarantined=["bad"],
    )
    assert result.passed
    assert result.metadata["became"] == {
        "an artifact": 1,
        "set aside": 1,
        CALL_END_REASON: 1,
        NO_SPEECH_REASON: 1,
        "under way": 1,
    }


def test_a_lost_event_is_named_and_so_is_one_that_still_waits():
    result = check_events(event("lost", offset=3), event("late", "call_chunk", offset=50), done=50)
    assert not result.passed
    assert (result.metadata["missing"], result.metadata["not_derived_yet"]) == (1, 1)
    assert result.metadata["ids"] == ["late", "lost"]


def test_an_event_of_an_earlier_log_waits_for_no_deriver_and_is_missing():
    result = check_events(event("lost", offset=50), event("late", offset=50, generation=1), done=10, generation=1)
    assert (result.metadata["missing"], result.metadata["not_derived_yet"]) == (1, 1)


def test_an_event_is_not_accounted_for_by_its_namesake_in_another_conversation():
    namesake = event("e1") | {"event_uid": uid("e1", "c2")}
    result = check_events(event("e1"), namesake, derived=[["e1"]])
    assert not result.passed
    assert (result.metadata["missing"], result.metadata["ids"]) == (1, ["e1"])


def test_at_most_ten_ids_are_named():
    assert len(check_events(*(event(f"e{n:02}") for n in range(30))).metadata["ids"]) == 10


def passage(number, derived_at=OLD, embedder="m@1"):
    return {"artifact_id": f"p{number}", "embedder": embedder, "derived_at": derived_at}


def listed(number, derived_at=OLD, embedder="m@1"):
    return IndexedPassage(f"p{number}", embedder, derived_at)


def mirrors(rows, found, embedders=()):
    return check_index_matches_table(rows, found, settled_before=NOW - timedelta(minutes=2), embedders=embedders)


def test_index_and_table_are_compared_both_ways():
    assert mirrors([passage(1)], [listed(1)]).passed
    result = mirrors([passage(1), passage(2)], [listed(2), listed(3)])
    assert not result.passed
    assert result.metadata["ids_not_indexed"] == ["p1"]
    assert result.metadata["ids_not_in_the_table"] == ["p3"]


def test_what_is_under_way_is_counted_and_is_no_breach():
    result = mirrors([passage(1, NOW)], [listed(2, NOW)])
    assert result.passed
    assert result.metadata["under_way"] == 2


def test_a_passage_that_only_another_embedder_indexed_is_missing_and_one_that_both_did_is_not():
    assert mirrors([passage(1)], [listed(1), listed(1, embedder="old@1")]).passed
    assert mirrors([passage(1)], [listed(1, embedder="old@1")]).metadata["ids_not_indexed"] == ["p1"]


def test_each_active_embedder_must_have_every_passage_and_others_are_ignored():
    both = ("m@1", "new@2")
    assert mirrors([passage(1)], [listed(1), listed(1, embedder="new@2")], both).passed
    assert mirrors([passage(1)], [listed(1)], both).metadata["ids_not_indexed"] == ["p1"]
    assert mirrors([passage(1)], [listed(1, embedder="new@2")], ("new@2",)).passed
    assert mirrors([passage(1)], [listed(1), listed(2, embedder="new@2")], both).metadata["not_in_the_table"] == 1
    assert mirrors([passage(1)], [listed(1), listed(2, embedder="left@0")], ("m@1",)).passed


def test_while_the_indexer_is_lagging_no_bucket_is_named_for_a_rebuild():
    rows = [{**passage(1), "bucket": "b03"}]
    named = [
        check_index_matches_table(rows, [], settled_before=NOW - timedelta(minutes=2), is_lagging=is_lagging).metadata
        for is_lagging in (False, True)
    ]
    assert named[0][INCOMPLETE_PARTITIONS] == ["b03"]
    assert INCOMPLETE_PARTITIONS not in named[1]
    assert named[1]["not_indexed"] == 1
