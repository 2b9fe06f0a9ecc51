"""Restore of rows from a replayed log: they fill gaps, and replace older rows only."""

from __future__ import annotations

from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.versions import Version
from tests.land.records import message, position, retraction


def row(number, text, version, offset=50, run=0):
    place = position(offset)
    made = message(number, text=text, version=Version(offset=version, derivation=run))
    return place, record_to_row(made, place)[1]


def texts(lakehouse):
    rows = lakehouse.table("messages").scan().to_arrow().to_pylist()
    return sorted((each["event_ids"][0], each["text"]) for each in rows)


def test_only_missing_and_older_rows_are_restored_whichever_writer_wrote_them(lakehouse, settings):
    existing = [row(1, "later", 20, 20), row(2, "earlier", 5, 20), row(3, "the same", 7, 20)]
    rederived = row(4, "by a run", 10, offset=20, run=1)
    rederived[1]["log_offset"] = -1
    other = Lakehouse.open(settings)
    assert lakehouse.restore("messages", [row(1, "first", 1)]) == 1
    other.append("messages", [*existing, rederived], offsets={("artifacts", 0): 21}, source="archive")
    again = [row(1, "old", 10), row(2, "old", 10), row(3, "old", 7), row(4, "old", 10), row(5, "old", 10)]
    assert lakehouse.restore("messages", again) == 2
    expected = {"event-1": "later", "event-2": "old", "event-3": "the same", "event-4": "by a run", "event-5": "old"}
    assert texts(lakehouse) == sorted(expected.items())
    before = lakehouse.table("messages").current_snapshot().snapshot_id
    assert lakehouse.restore("messages", again) == 0
    assert lakehouse.table("messages").current_snapshot().snapshot_id == before
    assert lakehouse.landed_offsets("messages", "archive") == {("artifacts", 0): 21}


def test_of_one_id_the_latest_counts(lakehouse):
    assert lakehouse.restore("messages", [row(1, "later", 8), row(1, "earlier", 3)]) == 1
    assert texts(lakehouse) == [("event-1", "later")]


def test_a_row_whose_retraction_another_writer_landed_meanwhile_is_not_restored(lakehouse, settings):
    other = Lakehouse.open(settings)
    assert lakehouse.restore("messages", [row(1, "before", 1)]) == 1
    place = position(9)
    retracted = [
        (place, record_to_row(retraction(message(number, version=Version(offset=7))), place)[1]) for number in (2, 3)
    ]
    other.append("retractions", retracted, offsets={("artifacts", 0): 10}, source="archive")
    assert lakehouse.restore("messages", [row(2, "late", 7), row(3, "said again", 8)]) == 1
    assert texts(lakehouse) == [("event-1", "before"), ("event-3", "said again")]
