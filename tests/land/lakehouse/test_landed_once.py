"""The lakehouse's memory of the log: no row doubles, and no row is left out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from mmplatform.errors import Rejected
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from tests.builders import NOW, chat, message, position

GROUP = "archive"


def land(lakehouse, record, offset, *, topic_partition=0, source=GROUP):
    place = position(offset).model_copy(update={"topic_partition": topic_partition})
    table, row = record_to_row(record, place)
    end = {(place.topic, topic_partition): offset + 1}
    return lakehouse.append(table, [(place, row)], offsets=end, source=source)


def derived_by(version, text):
    made = message(chat(0), position())
    return made.model_copy(
        update={"text": text, "provenance": made.provenance.model_copy(update={"deriver_version": version})}
    )


@pytest.mark.parametrize("restarted", [False, True])
def test_a_better_version_of_the_deriver_replaces_the_row(settings, lakehouse, restarted):
    assert land(lakehouse, derived_by("1", "as the old one read it"), 0) == 1
    again = Lakehouse.open(settings) if restarted else lakehouse
    assert land(again, derived_by("2", "as the new one reads it"), 100) == 1
    assert land(again, derived_by("2", "as the new one reads it"), 200) == 0
    assert again.scan("messages").column("text").to_pylist() == ["as the new one reads it"]
    third = Lakehouse.open(settings)
    assert land(third, derived_by("2", "as the new one reads it"), 300) == 0


def test_an_artifact_that_was_retracted_and_derived_again_is_stored(lakehouse):
    made = derived_by("1", "said")
    land(lakehouse, made, 0)
    lakehouse.delete_before("messages", {made.artifact_id: 5})
    assert land(lakehouse, made, 7) == 1
    assert lakehouse.scan("messages").num_rows == 1


def test_a_replayed_retraction_does_not_delete_an_artifact_derived_after_it(lakehouse):
    made = derived_by("1", "said")
    land(lakehouse, made, 7)
    lakehouse.delete_before("messages", {made.artifact_id: 5})
    assert lakehouse.scan("messages").num_rows == 1
    assert land(lakehouse, made, 9) == 0, "it is still remembered"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_number_that_a_later_utterance_revealed_is_redacted_in_the_files_too(settings, lakehouse, restarted):
    """Half of a number is derived again, with the same id and versions, when the other half comes."""
    land(lakehouse, derived_by("1", "call 555"), 0)
    again = Lakehouse.open(settings) if restarted else lakehouse
    assert land(again, derived_by("1", "call [PHONE]"), 9) == 1
    rows = again.table("messages").scan().to_arrow()
    assert rows.column("text").to_pylist() == ["call [PHONE]"]


def test_a_value_that_fits_no_column_is_refused_and_found(lakehouse):
    place = position(0)
    rows = [
        (
            place.model_copy(update={"offset": n}),
            record_to_row(derived_by("1", "x"), place)[1] | {"artifact_id": str(n)},
        )
        for n in range(3)
    ]
    rows[1][1]["schema_version"] = 2**80
    with pytest.raises(Rejected, match="does not fit the columns of messages"):
        lakehouse.append("messages", rows, offsets={}, source=GROUP)
    assert [position.offset for position, _ in lakehouse.unfit_rows("messages", rows)] == [1]
    assert lakehouse.scan("messages").num_rows == 0


@pytest.mark.parametrize("name", ["my dir", "jörg", "a#b", "100%25"])
def test_the_warehouse_stays_in_the_data_directory_whatever_its_name(tmp_path, name):
    folder = tmp_path / name
    opened = Lakehouse.open(load(data_dir=folder))
    opened.ensure_tables()
    land(opened, derived_by("1", "said"), 0)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert list(folder.rglob("*.parquet"))
    assert Lakehouse.open(load(data_dir=folder)).scan("messages").num_rows == 1


def test_two_readers_of_one_log_do_not_forget_each_other(settings, lakehouse, monkeypatch):
    """Both have loaded the table when the first commits: the second's summary does not know of the first's offsets."""
    other = Lakehouse.open(settings)
    stale, load_table = [other.table("raw_chats")], other._catalog.load_table
    monkeypatch.setattr(other._catalog, "load_table", lambda name: stale.pop() if stale else load_table(name))
    land(lakehouse, chat(0), 41, topic_partition=0)
    land(other, chat(1), 17, topic_partition=1)
    assert lakehouse.landed_offsets("raw_chats", GROUP) == {("interactions.chat", 0): 42, ("interactions.chat", 1): 18}


def test_the_newest_snapshot_alone_knows_every_readers_offsets(lakehouse):
    """An expiry of old snapshots must not lose the offsets."""
    made = derived_by("1", "said")
    land(lakehouse, made, 3, source="archive")
    land(lakehouse, message(chat(1), position()), 9, source="reprocess")
    lakehouse.delete_before("messages", {made.artifact_id: 5})
    newest = lakehouse.table("messages").current_snapshot().summary.additional_properties
    assert newest["mmplatform.offsets.archive"] == '{"interactions.chat":{"0":4}}'
    assert newest["mmplatform.offsets.reprocess"] == '{"interactions.chat":{"0":10}}'


def test_the_memory_is_filled_from_recent_hours_and_reads_no_others(settings, lakehouse, monkeypatch):
    from pyiceberg.table import DataScan

    for n in range(6):
        land(lakehouse, chat(n, event_time=NOW + timedelta(hours=n)), n)
    read = []
    whole = DataScan.to_arrow
    monkeypatch.setattr(DataScan, "to_arrow", lambda scan: read.append(found := whole(scan)) or found)
    again = Lakehouse(lakehouse._catalog, settings.iceberg_namespace, max_remembered_ids=2)
    assert land(again, chat(5, event_time=NOW + timedelta(hours=5)), 100) == 0
    assert sum(table.num_rows for table in read) == 2


def test_the_memory_is_bounded(settings, lakehouse):
    small = Lakehouse(lakehouse._catalog, settings.iceberg_namespace, max_remembered_ids=2)
    for n in range(5):
        land(small, chat(n), n)
    assert set(small._recent_ids._versions["raw_chats"]) == {"chat-3", "chat-4"}


def test_taking_out_what_is_not_there_is_quiet(lakehouse):
    lakehouse.delete_before("messages", {"f" * 32: 100})
    land(lakehouse, derived_by("1", "said"), 0)
    lakehouse.delete_before("messages", {"f" * 32: 100})
    assert lakehouse.scan("messages").num_rows == 1


def test_one_writer_takes_out_while_another_appends(settings, lakehouse):
    made = [message(chat(n), position(n)) for n in range(8)]
    for n in range(4):
        land(lakehouse, made[n], n)
    other = Lakehouse.open(settings)
    with ThreadPoolExecutor(2) as pool:
        appending = pool.submit(lambda: [land(lakehouse, made[n], n) for n in range(4, 8)])
        removing = pool.submit(lambda: [other.delete_before("messages", {made[n].artifact_id: 100}) for n in range(3)])
        appending.result()
        removing.result()
    assert set(lakehouse.scan("messages").column("artifact_id").to_pylist()) == {each.artifact_id for each in made[3:]}
    assert lakehouse.landed_offsets("messages", GROUP) == {("interactions.chat", 0): 8}
