from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta

import pytest

from mmplatform.derive.passages import quarantine
from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.identity import subject_key
from mmplatform.land.lakehouse.recent_ids import RecentIds
from mmplatform.land.lakehouse.row_codec import raw_id, record_to_row, row_to_artifact, row_to_event
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.store import Lakehouse, rows_beyond
from mmplatform.modalities import RETRACTIONS_TABLE, TABLES
from mmplatform.settings import load
from mmplatform.versions import Version
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
    column = "event_id" if table.startswith("raw_") else SPECS[table].id_column
    return sorted(lakehouse.scan(table, **filters).column(column).to_pylist())


def test_every_table_has_a_schema():
    assert {*SPECS} == {*TABLES, RETRACTIONS_TABLE}


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
    assert append(lakehouse, [chat(0), chat(0)]) == 1
    made = message(chat(0), position(3)), message(chat(0), position(7), "later"), message(chat(0), position(5), "late")
    assert append(lakehouse, made, first=10) == 1
    assert lakehouse.scan("messages").column("text").to_pylist() == ["later"]


def test_two_contents_under_one_identity_are_both_kept_as_they_came(lakehouse):
    """Which of them is the conflict is the log's to say: the deriver names it."""
    assert append(lakehouse, [chat(0, text="first"), chat(0, text="second")]) == 2
    assert ids(lakehouse) == ["chat-0", "chat-0"]
    assert len(set(lakehouse.scan("raw_chats").column("event_uid").to_pylist())) == 1


@pytest.mark.parametrize("other", [{"conversation_id": "conv-2"}, {"source": "crm"}, {"tenant": "second"}])
def test_one_event_id_in_two_conversations_is_two_events(lakehouse, other):
    """Naive sources number per conversation: the second event was dropped, and its message replaced the first."""
    alice, bob = chat(1, text="alice's"), chat(1, text="bob's", subject_id="bob", **other)
    assert append(lakehouse, [alice, bob]) == 2
    assert append(lakehouse, [message(alice, position(0)), message(bob, position(1))]) == 2
    assert sorted(lakehouse.scan("messages").column("text").to_pylist()) == ["alice's", "bob's"]


def test_a_scan_keeps_the_latest_of_an_id_when_the_memory_was_too_short(settings, lakehouse):
    append(lakehouse, [message(chat(0), position(1), "old")])
    forgetful = Lakehouse.open(settings)
    forgetful._recent_ids = RecentIds(0)
    forgetful._recent_ids._versions["messages"] = OrderedDict()
    append(forgetful, [message(chat(0), position(2), "new")], first=50)
    assert lakehouse.table("messages").scan().to_arrow().num_rows == 2
    assert lakehouse.scan("messages").column("text").to_pylist() == ["new"]


def test_a_lower_version_that_comes_later_changes_nothing(settings, lakehouse):
    """A deriver that was paused publishes the old text behind the newer one."""
    append(lakehouse, [message(chat(0), position(7), "newer")])
    for writer in (lakehouse, Lakehouse.open(settings)):
        assert append(writer, [message(chat(0), position(3), "old")], first=90) == 0
    assert lakehouse.scan("messages").column("text").to_pylist() == ["newer"]


def test_a_later_generation_of_the_log_wins_with_a_smaller_offset(lakehouse):
    append(lakehouse, [message(chat(0), position(700), "before")])
    begun_again = position(2).model_copy(update={"generation": 1})
    assert append(lakehouse, [message(chat(0), begun_again, "after")], first=900) == 1
    assert lakehouse.scan("messages").column("text").to_pylist() == ["after"]


def test_filters(lakehouse):
    append(lakehouse, [chat(0), chat(1, subject_id="cust-2"), chat(2, event_time=NOW + timedelta(hours=1))])
    assert ids(lakehouse, subject_key=subject_key("default", "cust-2")) == ["chat-1"]
    assert ids(lakehouse, hour=NOW) == ["chat-0", "chat-1"]
    first = subject_key("default", "cust-1")
    assert ids(lakehouse, hour=NOW + timedelta(hours=1), subject_key=first) == ["chat-2"]
    assert ids(lakehouse, ids=[raw_id(chat(1, subject_id="cust-2")), "nothing"]) == ["chat-1"]
    assert lakehouse.scan("raw_chats", columns=["text"]).column_names == ["text"]


def test_a_retracted_row_is_gone_and_the_offsets_stay(lakehouse):
    made = [message(chat(n), position(n)) for n in range(2)]
    append(lakehouse, made)
    before = lakehouse.landed_offsets("messages", GROUP)
    retraction = Version(offset=9).sortable
    lakehouse.delete_through("messages", {made[0].artifact_id: retraction, "f" * 32: retraction})
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
        *("artifact_id", "version", "tenant", "source", "conversation_id", "subject_id", "subject_key", "event_time"),
        *("ingested_at", "taken_at", "derived_at", "modality", "event_ids", "event_uids", "deriver", "deriver_version"),
        *("model", "model_version", "seconds", "memo_hit", "schema_version", "topic", "topic_partition", "log_offset"),
        *("log_generation", "logged_at", "record", "role", "text", "redaction_policy"),
        *("language", "language_confidence", "redaction_coverage"),
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
    assert ids_by_name["content_id"] > max(ids_by_name["duplicate_of"], ids_by_name["height"])


def test_a_table_of_format_1_is_refused_with_the_cure(lakehouse):
    with lakehouse.table("captions").update_schema() as update:
        update.rename_column("subject_key", "place")
    with pytest.raises(Misconfigured, match=r"captions was created by an older release.*mmplatform migrate"):
        lakehouse.ensure_tables()


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
