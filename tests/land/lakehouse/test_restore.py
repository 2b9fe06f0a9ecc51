"""Rows of a log that is read again: they fill gaps, and take nothing's place but what is older."""

from __future__ import annotations

from mmplatform.land.lakehouse.row_codec import row_of
from mmplatform.land.lakehouse.store import Lakehouse
from tests.land.making import message, position


def row(number, text, offset):
    place = position(offset)
    return place, row_of(message(number, text=text), place)[1]


def texts(lakehouse):
    rows = lakehouse.table("messages").scan().to_arrow().to_pylist()
    return sorted((each["event_ids"][0], each["text"]) for each in rows)


def test_only_what_is_missing_or_older_gives_way_whoever_wrote_it(lakehouse, settings):
    there = [row(1, "later", 20), row(2, "earlier", 5), row(3, "the same", 7)]
    made_anew = row(4, "by a run", 9)
    made_anew[1]["log_offset"] = -1
    other = Lakehouse.open(settings)
    assert lakehouse.restore("messages", [row(1, "first", 1)]) == 1
    other.append("messages", [*there, made_anew], offsets={("artifacts", 0): 21}, source="archive")
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
