"""A record of a derived table or of the quarantine that does not read any more: its hour is made again all the same."""

from __future__ import annotations

import pytest

from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.pipeline.reprocess.reprocess import reprocess
from tests.builders import NOW, chat
from tests.pipeline.paused_run import chats, parts_of
from tests.pipeline.stream import Stream

EVENTS = [chat(0, text="where is my parcel?"), chat(1, text=" "), chat(2, text="and where is my refund?")]


def run(settings):
    parts = parts_of(settings, chats())
    try:
        return reprocess("messages", NOW, parts)
    finally:
        parts.index.close()


def damage(lakehouse, table, record):
    """Put another record into the first row of a table; returns its id."""
    from pyiceberg.expressions import EqualTo

    from mmplatform.land.lakehouse.arrow import rows_to_arrow

    column = SPECS[table].id_column
    row = lakehouse.scan(table, hour=NOW).to_pylist()[0]
    target = lakehouse.table(table)
    target.delete(EqualTo(column, row[column]))
    target.append(rows_to_arrow(target, [row | {"record": record(row["record"])}]))
    return row[column]


def records(lakehouse, table):
    column = SPECS[table].id_column
    return {row[column]: row["record"] for row in lakehouse.scan(table, hour=NOW).to_pylist()}


@pytest.mark.parametrize("record", [lambda text: text[:40], lambda _: '{"schema_version": 1, "what": "else"}'])
@pytest.mark.parametrize("table", ["messages", "passages", "quarantine"])
def test_a_damaged_record_is_repaired_by_a_run_and_the_others_stay(
    settings, lakehouse, dual_write_index, table, record
):
    Stream(lakehouse, dual_write_index).send(EVENTS, chats())
    damaged = damage(lakehouse, table, record)
    before = records(lakehouse, table)
    summary = run(settings)
    assert summary.tables[table].replaced == 1
    assert summary.tables[table].unchanged == len(before) - 1
    after = records(lakehouse, table)
    assert after.keys() == before.keys()
    assert [each for each in after if after[each] != before[each]] == [damaged]
    assert run(settings).changed is False


def test_a_damaged_record_of_a_missing_event_stays(settings, lakehouse, dual_write_index):
    Stream(lakehouse, dual_write_index).send(EVENTS, chats())
    damaged = damage(lakehouse, "quarantine", lambda text: text[:40])
    from pyiceberg.expressions import EqualTo

    lakehouse.table("raw_chats").delete(EqualTo("event_id", EVENTS[1].event_id))
    assert run(settings).tables["quarantine"].left == 1
    assert records(lakehouse, "quarantine").keys() == {damaged}
