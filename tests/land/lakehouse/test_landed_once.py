"""The lakehouse's memory of the log: no row doubles, and no row is left out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from mmplatform.artifacts import Provenance, Retraction
from mmplatform.derive.passages import quarantine
from mmplatform.errors import Rejected
from mmplatform.land.lakehouse.replace import Replacement
from mmplatform.land.lakehouse.row_codec import raw_id, record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.refusals import Released
from mmplatform.settings import load
from mmplatform.versions import Version
from tests.builders import NOW, arrival, chat, message, position

GROUP = "archive"
NO_EVENT = Version()


def land(lakehouse, record, offset, *, topic_partition=0, source=GROUP):
    place = position(offset).model_copy(update={"topic_partition": topic_partition})
    table, row = record_to_row(record, place)
    end = {(place.topic, topic_partition): offset + 1}
    return lakehouse.append(table, [(place, row)], offsets=end, source=source)


def derived(text, version=NO_EVENT, deriver="1"):
    made = message(chat(0), position(version.offset).model_copy(update={"generation": version.generation}), text)
    by = {"deriver_version": deriver, "revision": version.revision, "derivation": version.derivation}
    return made.model_copy(update={"provenance": made.provenance.model_copy(update=by)})


def texts(lakehouse):
    """What lies in the files, not what a scan makes of it."""
    return sorted(lakehouse.table("messages").scan().to_arrow().column("text").to_pylist())


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    "higher",
    [Version(offset=4), Version(offset=3, derivation=1), Version(generation=1), Version(revision=1)],
    ids=["a later event", "a run", "another log", "an edit"],
)
def test_a_higher_version_replaces_the_row_and_another_deriver_of_the_same_does_not(
    settings, lakehouse, restarted, higher
):
    assert land(lakehouse, derived("first", Version(offset=3)), 0) == 1
    again = Lakehouse.open(settings) if restarted else lakehouse
    assert land(again, derived("by a better deriver", Version(offset=3), deriver="2"), 100) == 0
    assert land(again, derived("higher", higher), 200) == 1
    for late in (derived("first", Version(offset=3)), derived("higher, otherwise", higher, deriver="2")):
        assert land(again, late, 300) == land(Lakehouse.open(settings), late, 400) == 0
    assert texts(lakehouse) == ["higher"]


def retract(lakehouse, made, version, offset):
    """As the archiver does."""
    lakehouse.delete_through("messages", {made.artifact_id: version.sortable})
    place = Provenance(
        event_ids=("e",), position=position(version.offset), deriver="d", deriver_version="1", seconds=0.0,
        derivation=version.derivation,
    )  # fmt: skip
    same = made.model_dump(include={"artifact_id", "modality", "conversation_id", "subject_id"})
    return land(lakehouse, Retraction(**same, stamps=made.stamps, provenance=place, reason="r"), offset)


@pytest.mark.parametrize("restarted", [False, True])
def test_an_artifact_that_was_retracted_comes_back_with_a_higher_version_only(settings, lakehouse, restarted):
    land(lakehouse, derived("said", Version(offset=3)), 0)
    assert retract(lakehouse, derived("said"), Version(offset=5), 1) == 1
    assert retract(lakehouse, derived("said"), Version(offset=4), 2) == 0
    again = Lakehouse.open(settings) if restarted else lakehouse
    for late in (3, 4, 5):
        assert land(again, derived("late", Version(offset=late)), 10 + late) == 0
    assert texts(again) == []
    assert land(again, derived("again", Version(offset=6)), 20) == 1
    assert texts(again) == ["again"]


def test_a_retraction_that_comes_first_keeps_its_artifact_out(lakehouse):
    assert retract(lakehouse, derived("said"), Version(offset=5), 0) == 1
    assert land(lakehouse, derived("said", Version(offset=5)), 1) == 0
    assert land(lakehouse, derived("said again", Version(offset=5, derivation=1)), 2) == 1


def test_another_writers_retraction_counts_as_well(settings, lakehouse):
    """An archiver that takes a topic partition over has not read what the one before it wrote."""
    others = [Lakehouse.open(settings) for _ in range(2)]
    for offset, each in enumerate((lakehouse, *others)):
        land(each, message(chat(offset + 1), position(1)), offset)
    retract(lakehouse, derived("said"), Version(offset=5), 3)
    assert land(others[0], derived("late", Version(offset=4)), 4) == 0
    place = position(6)
    row = record_to_row(derived("late", Version(offset=4)), place)[1]
    assert others[1].restore("messages", [(place, row)]) == 0
    run = derived("of a run that read before", Version(offset=4, derivation=9))
    result = others[1].replace("messages", Replacement(NOW, [record_to_row(run, place)[1]], [], {}))
    assert (result.written, result.overtaken) == (frozenset(), {run.artifact_id})
    assert derived("late").artifact_id not in lakehouse.scan("messages").column("artifact_id").to_pylist()


def test_the_highest_of_an_ids_retractions_is_remembered_whichever_came_last(settings, lakehouse):
    """Two writers that do not know of each other's rows: a late, lower one lies beside the higher one."""
    other = Lakehouse.open(settings)
    land(other, retraction_of(message(chat(9), position(1))), 0)
    retract(lakehouse, derived("said"), Version(offset=5), 10)
    retract(other, derived("said"), Version(offset=3), 20)
    for writer in (lakehouse, other, Lakehouse.open(settings)):
        assert land(writer, derived("late", Version(offset=4)), 30) == 0


def retraction_of(made):
    same = made.model_dump(include={"artifact_id", "modality", "conversation_id", "subject_id"})
    return Retraction(**same, stamps=made.stamps, provenance=made.provenance, reason="r")


@pytest.mark.parametrize("write", ["land", "restore", "replace"])
def test_a_retraction_between_the_check_and_the_commit_still_counts(lakehouse, write, monkeypatch):
    """Without locks: the retraction finds nothing to delete, and the check of the row came before it."""
    opened, other = (Lakehouse(lakehouse._catalog, lakehouse._namespace) for _ in range(2))
    made, place = derived("said", Version(offset=4)), position(0)
    row = record_to_row(made, place)[1]
    checked = opened._retracted

    def check(table):
        found = dict(checked(table))
        monkeypatch.setattr(opened, "_retracted", checked)
        land(other, message(chat(7), position(1)), 7)
        retract(other, made, Version(offset=5), 1)
        return found

    monkeypatch.setattr(opened, "_retracted", check)
    if write == "land":
        land(opened, made, 2)
    elif write == "restore":
        opened.restore("messages", [(place, row)])
    else:
        opened.replace("messages", Replacement(NOW, [row], [], {}))
    assert made.artifact_id not in opened.scan("messages").column("artifact_id").to_pylist()


def test_a_replayed_retraction_does_not_delete_an_artifact_derived_after_it(lakehouse):
    made = derived("said", Version(offset=7))
    land(lakehouse, made, 7)
    lakehouse.delete_through("messages", {made.artifact_id: Version(offset=6, derivation=99).sortable})
    assert lakehouse.scan("messages").num_rows == 1
    assert land(lakehouse, made, 9) == 0, "it is still remembered"
    lakehouse.delete_through("messages", {made.artifact_id: Version(offset=7).sortable})
    assert lakehouse.scan("messages").num_rows == 0


def test_a_row_without_version_is_below_every_version(settings, lakehouse):
    """It has none where an older release wrote it."""
    place = position(0)
    old = [record_to_row(message(chat(n), place, f"old {n}"), place)[1] | {"version": None} for n in (0, 1)]
    lakehouse.append("messages", [(place, row) for row in old], offsets={}, source=GROUP)
    lakehouse.delete_through("messages", {old[1]["artifact_id"]: Version().sortable})
    assert texts(lakehouse) == ["old 0"]
    assert land(Lakehouse.open(settings), derived("new", Version(offset=0)), 9) == 1
    assert texts(lakehouse) == ["new"]


def test_a_retraction_of_thousands_of_ids_is_one_filter(lakehouse):
    made = derived("said", Version(offset=7))
    land(lakehouse, made, 7)
    ids = {f"{n:032x}": Version(offset=9).sortable for n in range(5000)}
    lakehouse.delete_through("messages", ids | {made.artifact_id: Version(offset=9).sortable})
    assert texts(lakehouse) == []


@pytest.mark.parametrize("restarted", [False, True])
def test_a_number_that_a_later_utterance_revealed_is_redacted_in_the_files_too(settings, lakehouse, restarted):
    """Half of a number is derived again, with the same id, when the other half comes: a later event completes it."""
    land(lakehouse, derived("call 555", Version(offset=1)), 0)
    again = Lakehouse.open(settings) if restarted else lakehouse
    assert land(again, derived("call [PHONE]", Version(offset=2)), 9) == 1
    assert texts(again) == ["call [PHONE]"]


def test_a_quarantine_row_that_a_run_released_is_not_scanned_and_comes_back_with_a_higher_version(lakehouse):
    def quarantined(offset, derivation=0, **change):
        found = quarantine(arrival(chat(0), offset), contract="raw_chats", reasons=("a",))
        return found.model_copy(update={"derivation": derivation, **change})

    fields = quarantined(3).model_dump(exclude={"kind", "contract", "reasons", "derivation"})
    land(lakehouse, quarantined(3), 0)
    assert land(lakehouse, Released(**fields, derivation=5), 1) == 1
    assert lakehouse.scan("quarantine").num_rows == 0
    assert land(lakehouse, quarantined(3), 2) == 0
    again = record_to_row(quarantined(3, 4), position(0))[1], record_to_row(quarantined(3, 9), position(0))[1]
    for row, written in zip(again, (0, 1), strict=True):
        result = lakehouse.replace("quarantine", Replacement(NOW, [row], [], {}))
        assert len(result.written) == written
    assert lakehouse.scan("quarantine").num_rows == lakehouse.table("quarantine").scan().to_arrow().num_rows == 1
    assert land(lakehouse, quarantined(3), 9) == 0


def test_a_value_that_fits_no_column_is_refused_and_found(lakehouse):
    place = position(0)
    rows = [
        (
            place.model_copy(update={"offset": n}),
            record_to_row(derived("x"), place)[1] | {"artifact_id": str(n)},
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
    land(opened, derived("said"), 0)
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
    made = derived("said")
    land(lakehouse, made, 3, source="archive")
    land(lakehouse, message(chat(1), position()), 9, source="reprocess")
    lakehouse.delete_through("messages", {made.artifact_id: Version(offset=5).sortable})
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


@pytest.mark.parametrize("make", [chat, lambda n: message(chat(n), position(n))], ids=["raw", "derived"])
def test_an_event_that_comes_again_to_another_archiver_is_one_row(settings, lakehouse, make):
    other = Lakehouse.open(settings)
    assert land(lakehouse, make(0), 0) == land(other, make(1), 0, topic_partition=1) == 1, "both have a memory now"
    assert land(lakehouse, make(2), 1) == 1
    # The topic partition moves to the other one, and the source repeats what the first has landed.
    assert land(other, make(2), 2) == 0
    assert land(lakehouse, make(1), 3) == 0
    assert lakehouse.table("raw_chats" if make is chat else "messages").scan().to_arrow().num_rows == 3


def test_a_writer_by_itself_reads_no_row_of_its_own_commits(lakehouse, monkeypatch):
    land(lakehouse, chat(0), 0)
    monkeypatch.setattr(
        "mmplatform.land.lakehouse.recent_ids.versions_added_since",
        lambda target, _column, seen: {} if seen == target.metadata.current_snapshot_id else pytest.fail("read again"),
    )
    for n in range(1, 4):
        assert land(lakehouse, chat(n), n) == 1


def test_the_memory_is_bounded(settings, lakehouse):
    small = Lakehouse(lakehouse._catalog, settings.iceberg_namespace, max_remembered_ids=2)
    for n in range(5):
        land(small, chat(n), n)
    assert set(small._recent_ids._versions["raw_chats"]) == {raw_id(chat(n)) for n in (3, 4)}


def test_taking_out_what_is_not_there_is_quiet(lakehouse):
    lakehouse.delete_through("messages", {"f" * 32: Version(offset=100).sortable})
    land(lakehouse, derived("said"), 0)
    lakehouse.delete_through("messages", {"f" * 32: Version(offset=100).sortable})
    assert lakehouse.scan("messages").num_rows == 1


def test_one_writer_takes_out_while_another_appends(settings, lakehouse):
    made = [message(chat(n), position(n)) for n in range(8)]
    for n in range(4):
        land(lakehouse, made[n], n)
    other = Lakehouse.open(settings)
    with ThreadPoolExecutor(2) as pool:
        appending = pool.submit(lambda: [land(lakehouse, made[n], n) for n in range(4, 8)])
        high = Version(offset=100).sortable
        removing = pool.submit(
            lambda: [other.delete_through("messages", {made[n].artifact_id: high}) for n in range(3)]
        )
        appending.result()
        removing.result()
    assert set(lakehouse.scan("messages").column("artifact_id").to_pylist()) == {each.artifact_id for each in made[3:]}
    assert lakehouse.landed_offsets("messages", GROUP) == {("interactions.chat", 0): 8}
