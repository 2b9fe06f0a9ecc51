from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta

import pytest

from mmplatform.derive.passages import quarantine
from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.land.lakehouse.recent_ids import RecentIds
from mmplatform.land.lakehouse.row_codec import record_to_row, row_to_artifact, row_to_event
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.store import Lakehouse, rows_beyond
from mmplatform.modalities import TABLES
from mmplatform.settings import load
from tests.builders import NOW, arrival, call_end, chat, chunk, message, passage, position, screenshot

GROUP = "archive"


def placed(record, offset: int = 0):
    place = position(offset)
    table, row = record_to_row(record, place)
    return table, (place, row)


def append(lakehouse, records, first: int = 0, *, until: int | None = None) -> int:
    rows = [placed(record, first + n) for n, record in enumerate(records)]
    end = first + len(rows) if until is None else until
    offsets = {("interactions.chat", 0): end}
    return lakehouse.append(rows[0][0], [row for _, row in rows], offsets=offsets, source=GROUP)


def ids(lakehouse, table="raw_chats", **filters) -> list[str]:
    return sorted(lakehouse.scan(table, **filters).column(SPECS[table].id_column).to_pylist())


def test_every_table_has_a_schema():
    assert tuple(SPECS) == TABLES


def test_what_was_appended_is_scanned(lakehouse):
    assert append(lakehouse, [chat(n) for n in range(3)]) == 3
    assert ids(lakehouse) == ["chat-0", "chat-1", "chat-2"]


def test_a_crash_before_the_consumers_commit_doubles_nothing(settings, lakehouse):
    append(lakehouse, [chat(n) for n in range(3)])
    again = Lakehouse.open(settings)  # another process, without our memory, reads the same records again
    assert append(again, [chat(n) for n in range(5)]) == 2
    assert ids(again) == [f"chat-{n}" for n in range(5)]


def test_offsets_are_read_back_and_never_go_back(lakehouse):
    append(lakehouse, [chat(0)], until=10)
    append(lakehouse, [chat(1)], first=20, until=21)
    append(lakehouse, [chat(2)], first=30, until=5)
    assert lakehouse.landed_offsets("raw_chats", GROUP) == {("interactions.chat", 0): 21}
    assert lakehouse.landed_offsets("raw_chats", "another reader") == {}
    assert lakehouse.landed_offsets("messages", GROUP) == {}


def test_an_upstream_replay_doubles_nothing_whichever_process_lands_it(settings, lakehouse):
    made = [message(chat(n), position(n)) for n in range(3)]
    append(lakehouse, made)
    assert append(lakehouse, made, first=100) == 0
    again = Lakehouse.open(settings)
    assert append(again, made, first=200) == 0
    assert len(ids(again, "messages")) == 3


def test_an_id_twice_in_a_batch_lands_once(lakehouse):
    assert append(lakehouse, [chat(0, text="first"), chat(0, text="second")]) == 1
    assert lakehouse.scan("raw_chats").column("text").to_pylist() == ["second"]


def test_a_scan_keeps_the_latest_of_an_id_when_the_memory_was_too_short(settings, lakehouse):
    append(lakehouse, [chat(0, text="old")])
    forgetful = Lakehouse.open(settings)
    forgetful._recent_ids = RecentIds(0)
    forgetful._recent_ids._versions["raw_chats"] = OrderedDict()
    append(forgetful, [chat(0, text="new")], first=50)
    assert lakehouse.table("raw_chats").scan().to_arrow().num_rows == 2
    assert lakehouse.scan("raw_chats").column("text").to_pylist() == ["new"]


def test_filters(lakehouse):
    append(lakehouse, [chat(0), chat(1, subject_id="cust-2"), chat(2, event_time=NOW + timedelta(hours=1))])
    assert ids(lakehouse, subject_id="cust-2") == ["chat-1"]
    assert ids(lakehouse, hour=NOW) == ["chat-0", "chat-1"]
    assert ids(lakehouse, hour=NOW + timedelta(hours=1), subject_id="cust-1") == ["chat-2"]
    assert ids(lakehouse, ids=["chat-1", "nothing"]) == ["chat-1"]
    assert lakehouse.scan("raw_chats", columns=["text"]).column_names == ["text"]


def test_a_retracted_row_is_gone_and_the_offsets_stay(lakehouse):
    made = [message(chat(n), position(n)) for n in range(2)]
    append(lakehouse, made)
    before = lakehouse.landed_offsets("messages", GROUP)
    lakehouse.delete_before("messages", {made[0].artifact_id: 9, "f" * 32: 9})
    assert ids(lakehouse, "messages") == [made[1].artifact_id]
    assert lakehouse.landed_offsets("messages", GROUP) == before


@pytest.mark.parametrize("event", [chat(0), chunk(3), call_end(), screenshot(1)], ids=lambda event: event.kind)
def test_an_event_comes_back_as_it_was(lakehouse, event):
    table, row = placed(event)
    lakehouse.append(table, [row], offsets={}, source=GROUP)
    [found] = lakehouse.scan(table).to_pylist()
    assert row_to_event(found) == event


def test_a_passage_comes_back_as_it_was_with_its_vector(lakehouse):
    made = passage(message(chat(0), position()))
    append(lakehouse, [made])
    [found] = lakehouse.scan("passages").to_pylist()
    assert row_to_artifact(found) == made
    assert "vector" not in found["record"]


def test_a_quarantined_row_keeps_its_reasons(lakehouse):
    append(lakehouse, [quarantine(arrival(chat(0)), contract="raw_chats", reasons=("a", "b"))])
    [found] = lakehouse.scan("quarantine").to_pylist()
    assert (found["event_id"], found["reasons"]) == ("chat-0", ["a", "b"])


def test_tables_are_parted_by_hour_and_bucket(lakehouse):
    spec = lakehouse.table("passages").spec()
    assert [(field.name, str(field.transform)) for field in spec.fields] == [
        ("event_hour", "hour"),
        ("subject_bucket", "bucket[16]"),
    ]


def test_field_ids_are_permanent(lakehouse):
    """A column's id is its position. Add columns at the end; a change of this list breaks every existing table."""
    schema = lakehouse.table("messages").schema()
    assert {field.name: field.field_id for field in schema.fields} == {
        name: place for place, (name, _) in enumerate(SPECS["messages"].columns, start=1)
    }
    assert [name for name, _ in SPECS["messages"].columns] == [
        *("artifact_id", "conversation_id", "subject_id", "event_time", "ingested_at", "taken_at", "derived_at"),
        *("modality", "event_ids", "deriver", "deriver_version", "model", "model_version", "seconds", "memo_hit"),
        *("schema_version", "topic", "topic_partition", "log_offset", "record", "role", "text"),
    ]


def test_preparing_twice_changes_nothing(lakehouse):
    append(lakehouse, [chat(0)])
    lakehouse.ensure_tables()
    assert ids(lakehouse) == ["chat-0"]


def test_a_table_of_before_gets_a_column_in_whose_place_it_has_another(lakehouse):
    with lakehouse.table("captions").update_schema() as update:
        update.rename_column("content_id", "duplicate_of")
    lakehouse.ensure_tables()
    ids_by_name = {field.name: field.field_id for field in lakehouse.table("captions").schema().fields}
    assert ids_by_name["duplicate_of"] == 26
    assert ids_by_name["content_id"] > max(26, ids_by_name["height"])


def test_landed_rows_are_known_by_their_position():
    rows = [(position(n), {}) for n in range(3)]
    assert rows_beyond(rows, {("interactions.chat", 0): 2}) == rows[2:]
    assert rows_beyond(rows, {("interactions.chat", 1): 2}) == rows


def test_an_unknown_catalog_is_misconfigured():
    with pytest.raises(Misconfigured, match="MMPLATFORM_ICEBERG_CATALOG"):
        Lakehouse.open(load(iceberg_catalog="mysql://nowhere"))


def test_a_catalog_that_is_away_is_unavailable(tmp_path):
    away = load(iceberg_catalog="postgresql+psycopg2://nobody@127.0.0.1:9/none", data_dir=tmp_path)
    with pytest.raises(Unavailable):
        Lakehouse.open(away).ensure_tables()
