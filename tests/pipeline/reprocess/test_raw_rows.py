"""Of a call all raw rows are found, and only those hours are read that can hold them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.events import Position
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import CALL
from mmplatform.pipeline.reprocess.raw_rows import read_raw_rows
from mmplatform.settings import load
from tests.builders import NOW, call_end, chunk

HOUR = timedelta(hours=1)


class Watched(Lakehouse):
    """Notes what is asked of it."""

    def __init__(self, *args, **how):
        super().__init__(*args, **how)
        self.asked = []

    def scan(self, table, **which):
        self.asked.append(which)
        return super().scan(table, **which)


@pytest.fixture
def lakehouse(tmp_path):
    opened = Watched.open(load(data_dir=tmp_path))
    opened.ensure_tables()
    return opened


def land(lakehouse, *events):
    last = lakehouse.landed_offsets("raw_calls", "test").get(("calls", 0), 0)
    places = [Position(topic="calls", topic_partition=0, offset=last + n) for n in range(len(events))]
    rows = [(place, record_to_row(event, place)[1]) for place, event in zip(places, events, strict=True)]
    lakehouse.append("raw_calls", rows, offsets={("calls", 0): last + len(rows)}, source="test")


def call(name, *minutes, first=0, end=None, chunks=None):
    pieces = [
        chunk(
            first + n,
            event_id=f"{name}:{first + n}",
            conversation_id=name,
            event_time=NOW + timedelta(minutes=minute),
            ingested_at=NOW + timedelta(minutes=minute),
        )
        for n, minute in enumerate(minutes)
    ]
    moment = {"event_time": NOW + timedelta(minutes=end or 0), "ingested_at": NOW + timedelta(minutes=end or 0)}
    over = [call_end(event_id=f"{name}:end", conversation_id=name, chunks=chunks, **moment)] if end is not None else []
    return [*pieces, *over]


def found(lakehouse, held=()):
    lakehouse.asked.clear()
    return {row["event_id"] for row in read_raw_rows(lakehouse, CALL, NOW, held)}


def ids(*calls):
    return {event.event_id for each in calls for event in each}


def asked(lakehouse):
    """Beyond the hour and its neighbours: which calls, and from when on."""
    assert [each["hour"] for each in lakehouse.asked[:3]] == [NOW - HOUR, NOW, NOW + HOUR]
    return [(each["conversations"], each.get("since")) for each in lakehouse.asked[3:]]


def test_a_call_that_is_over_is_found_in_its_hour_and_the_neighbours_alone(lakehouse):
    over = call("over", -30, 10, 70, end=71, chunks=3)
    old = call("old", -300, -299, end=-298, chunks=2)
    land(lakehouse, *over, *old)
    assert found(lakehouse) == ids(over)
    assert asked(lakehouse) == []


def test_a_call_that_goes_on_is_read_from_later_hours_only(lakehouse):
    running = call("running", 10, 100, 200, 300)
    land(lakehouse, *running)
    assert found(lakehouse) == ids(running)
    assert asked(lakehouse) == [(["running"], NOW + 2 * HOUR)]


def test_an_end_without_a_number_of_chunks_proves_nothing(lakehouse):
    silent = call("silent", 10, 11, end=20)
    late = call("silent", 400, first=2)
    land(lakehouse, *silent, *late)
    assert found(lakehouse) == ids(silent, late)


@pytest.mark.parametrize("early", [-200, -61 * 24])
def test_a_call_that_began_earlier_or_has_a_hole_is_read_from_all_hours(lakehouse, early):
    long = call("long", early, 10, end=11, chunks=2)
    holed = [call("holed", 10, 20, 30, end=31, chunks=3)[place] for place in (0, 2, 3)]
    stray = call("holed", early, first=1)
    land(lakehouse, *long, *holed, *stray)
    assert found(lakehouse) == ids(long, holed, stray)
    assert asked(lakehouse) == [(["holed", "long"], None)]


@pytest.mark.parametrize("end", [None, 91])
def test_a_chunk_with_a_far_earlier_time_than_its_neighbours_is_found(lakehouse, end):
    first = call("strayed", 0, 5, 10, 15, 20)
    stray = call("strayed", -300, first=5)
    later = call("strayed", 150, 155, 160, 165, first=6, end=end and 170, chunks=10 if end else None)
    land(lakehouse, *first, *stray, *later)
    assert found(lakehouse) == ids(first, stray, later)
    assert asked(lakehouse) == [(["strayed"], NOW + 2 * HOUR), (["strayed"], None)]


def test_a_last_chunk_with_a_far_earlier_time_is_found_by_the_declared_number(lakehouse):
    near = call("last", 0, 5, end=20, chunks=3)
    stray = call("last", -300, first=2)
    land(lakehouse, *near, *stray)
    assert found(lakehouse) == ids(near, stray)


def test_a_call_that_has_only_derived_rows_in_the_hour_is_read_too(lakehouse):
    earlier = call("earlier", -200, -199, end=-198, chunks=2)
    land(lakehouse, *earlier)
    assert found(lakehouse, held=["default//earlier"]) == ids(earlier)


def test_a_quiet_hour_reads_nothing_more(lakehouse):
    assert found(lakehouse) == set()
    assert asked(lakehouse) == []
