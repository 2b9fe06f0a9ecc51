"""Compaction of real Iceberg tables: no row changes, nothing that others write is lost or read twice."""

from __future__ import annotations

from collections import Counter, OrderedDict
from datetime import timedelta

import pytest

from mmplatform.land.lakehouse.maintenance import compaction
from mmplatform.land.lakehouse.maintenance.compaction import compact
from mmplatform.land.lakehouse.replace import Replacement
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from mmplatform.versions import Version
from resources.iceberg_commits import CommitReader
from tests.land.records import NOON, message, position

TABLE = "messages"
LATER = NOON + timedelta(hours=3)


def land(lakehouse, *numbers, at=NOON):
    rows = []
    for number in numbers:
        place = position(number)
        rows.append((place, record_to_row(message(number, at=at), place)[1]))
    lakehouse.append(TABLE, rows, offsets={("artifacts", 0): max(numbers) + 1}, source="archive")


def loader(lakehouse):
    return lambda: lakehouse.table(TABLE)


def rows(lakehouse):
    """Every row with every value; rows that are twice are twice."""
    return Counter(str(row) for row in lakehouse.table(TABLE).scan().to_arrow().to_pylist())


def files(lakehouse):
    return list(lakehouse.table(TABLE).scan().plan_files())


def read_log(lakehouse, after=None):
    reader = CommitReader(lakehouse.table(TABLE), after or {})
    while reader.step():
        pass
    return reader.result()


def landed(log):
    return sum(sum(commit.rows.values()) for commit in log.commits)


def forget_all_but_the_newest(lakehouse):
    snapshots = lakehouse.table(TABLE).metadata.snapshots
    old = [each.snapshot_id for each in snapshots[:-1]]
    lakehouse.table(TABLE).maintenance.expire_snapshots().by_ids(old).commit()


def test_files_become_fewer_and_no_row_changes(lakehouse):
    for number in range(6):
        land(lakehouse, number)
    before, sizes = rows(lakehouse), [task.file.file_size_in_bytes for task in files(lakehouse)]
    done = compact(loader(lakehouse), LATER)
    assert rows(lakehouse) == before
    (only,) = files(lakehouse)
    assert (done.hours, done.left, done.files_before, done.files_after, done.rewritten) == (1, 0, 6, 1, 6)
    assert (done.bytes_before, done.bytes_after) == (sum(sizes), only.file.file_size_in_bytes)
    assert compact(loader(lakehouse), LATER) == compaction.CompactionResult(), "there is nothing left to do"


def test_the_hour_that_is_running_and_the_one_that_may_still_get_rows_are_left_alone(lakehouse):
    for number in range(3):
        land(lakehouse, number)
    for now in (NOON + timedelta(minutes=50), NOON + timedelta(minutes=110)):
        assert compact(loader(lakehouse), now) == compaction.CompactionResult()
    assert compact(loader(lakehouse), NOON + timedelta(hours=2)).hours == 1


def test_partitions_are_not_mixed_and_large_files_are_left(lakehouse):
    land(lakehouse, 0)
    land(lakehouse, 1, at=NOON + timedelta(hours=1))
    assert compact(loader(lakehouse), LATER) == compaction.CompactionResult()
    land(lakehouse, 2)
    assert compact(loader(lakehouse), LATER, small_bytes=10) == compaction.CompactionResult()
    done = compact(loader(lakehouse), LATER)
    assert (done.hours, done.files_before) == (1, 2)
    assert len({task.file.partition for task in files(lakehouse)}) == 2


def test_the_log_stays_where_it_is_in_the_table(lakehouse, tmp_path):
    for number in range(3):
        land(lakehouse, number)
    compact(loader(lakehouse), LATER)
    forget_all_but_the_newest(lakehouse)
    assert lakehouse.landed_offsets(TABLE, "archive") == {("artifacts", 0): 3}
    again = Lakehouse.open(load(data_dir=tmp_path))
    place = position(1)
    row = record_to_row(message(1), place)[1]
    assert again.append(TABLE, [(place, row)], offsets={("artifacts", 0): 2}, source="archive") == 0


@pytest.mark.parametrize("other_hour", [False, True])
def test_what_is_appended_between_reading_and_committing_is_there(lakehouse, monkeypatch, other_hour):
    for number in range(3):
        land(lakehouse, number)
    real, calls = compaction._rewrite, []

    def meanwhile(table, group):
        found = real(table, group)
        if not calls:
            land(lakehouse, 9, at=NOON + timedelta(hours=1 if other_hour else 0))
        calls.append(len(group))
        return found

    monkeypatch.setattr(compaction, "_rewrite", meanwhile)
    before = rows(lakehouse)
    done = compact(loader(lakehouse), LATER)
    assert calls == ([3] if other_hour else [3, 4]), "another writer of the same hour: read again"
    assert done.left == 0
    found = rows(lakehouse)
    assert found - before == Counter(str(row) for row in _row(lakehouse, 9))
    assert not before - found


def _row(lakehouse, number):
    """The one row of a number, as a scan gives it."""
    wanted = message(number).artifact_id
    return [row for row in lakehouse.table(TABLE).scan().to_arrow().to_pylist() if row["artifact_id"] == wanted]


@pytest.mark.parametrize("change", ["removed", "reprocessed"])
def test_a_row_that_others_delete_meanwhile_does_not_come_back(lakehouse, monkeypatch, change):
    for number in range(3):
        land(lakehouse, number)
    real, calls = compaction._rewrite, []
    gone = message(1).artifact_id

    def meanwhile(table, group):
        found = real(table, group)
        if not calls and change == "removed":
            lakehouse.delete_through(TABLE, {gone: Version(offset=100).sortable})
        elif not calls:
            lakehouse.replace(TABLE, Replacement(NOON, [], [gone], {gone: message(1).version.sortable}))
        calls.append(len(group))
        return found

    monkeypatch.setattr(compaction, "_rewrite", meanwhile)
    compact(loader(lakehouse), LATER)
    there = lakehouse.scan(TABLE).column("artifact_id").to_pylist()
    assert sorted(there) == sorted(message(number).artifact_id for number in (0, 2))


def test_of_an_ids_rows_the_highest_counts_after_a_compaction_too(lakehouse):
    """A writer that had forgotten the row left a second one beside it, with a lower version and a later position."""
    for offset, version in enumerate((2, 7, 5)):
        made = message(1, text=f"text {version}", version=Version(offset=version))
        forgetful = Lakehouse(lakehouse._catalog, lakehouse._namespace)
        forgetful._recent_ids._versions[TABLE] = OrderedDict()
        forgetful._recent_ids._seen_snapshots[TABLE] = lakehouse.table(TABLE).metadata.current_snapshot_id
        row = position(offset), record_to_row(made, position(offset))[1]
        assert forgetful.append(TABLE, [row], offsets={("artifacts", 0): offset + 1}, source="archive") == 1
    assert compact(loader(lakehouse), LATER).rewritten == 3
    assert lakehouse.scan(TABLE).column("text").to_pylist() == ["text 7"]
    late = message(1, text="text 6", version=Version(offset=6))
    row = position(9), record_to_row(late, position(9))[1]
    assert lakehouse.append(TABLE, [row], offsets={("artifacts", 0): 10}, source="archive") == 0
    lakehouse.delete_through(TABLE, {late.artifact_id: Version(offset=6).sortable})
    assert lakehouse.table(TABLE).scan().to_arrow().column("text").to_pylist() == ["text 7"]


def test_an_hour_that_others_write_each_time_is_left_for_the_next_run(lakehouse, monkeypatch):
    land(lakehouse, 0)
    land(lakehouse, 1)
    real, numbers = compaction._rewrite, iter(range(2, 100))

    def meanwhile(table, group):
        found = real(table, group)
        land(lakehouse, next(numbers))
        return found

    monkeypatch.setattr(compaction, "_rewrite", meanwhile)
    done = compact(loader(lakehouse), LATER)
    assert (done.hours, done.left) == (0, 1)
    assert len(files(lakehouse)) == lakehouse.scan(TABLE).num_rows > 2


def test_an_hour_can_be_reprocessed_after_its_compaction(lakehouse):
    for number in range(3):
        land(lakehouse, number)
    compact(loader(lakehouse), LATER)
    made = message(1, text="said again", version=Version(offset=1, derivation=1))
    new = record_to_row(made, position(1))[1]
    read = {made.artifact_id: message(1).version.sortable}
    done = lakehouse.replace(TABLE, Replacement(NOON, [new], [], read))
    assert done.written == {made.artifact_id}
    assert "said again" in lakehouse.table(TABLE).scan().to_arrow().column("text").to_pylist()
    assert lakehouse.scan(TABLE).num_rows == 3


def test_compacted_rows_have_not_landed(lakehouse):
    for number in range(3):
        land(lakehouse, number)
    log = read_log(lakehouse)
    compact(loader(lakehouse), LATER)
    after = read_log(lakehouse, {log.table_uuid: log.sequence})
    assert (landed(after), after.sequence) == (0, log.sequence + 1)


@pytest.mark.parametrize("twice", [False, True])
def test_a_reader_that_had_seen_rows_does_not_get_them_again_when_the_snapshots_have_expired(lakehouse, twice):
    for number in range(3):
        land(lakehouse, number)
    log = read_log(lakehouse)
    compact(loader(lakehouse), LATER)
    land(lakehouse, 7, at=NOON + timedelta(hours=9))
    if twice:
        land(lakehouse, 8)
        compact(loader(lakehouse), LATER)
        land(lakehouse, 9, at=NOON + timedelta(hours=9))
    forget_all_but_the_newest(lakehouse)
    # Compacted with a late row, seen and unseen lie in one file: all of it is read rather than none.
    news = landed(read_log(lakehouse, {log.table_uuid: log.sequence}))
    assert news == (6 if twice else 1)


@pytest.mark.parametrize("after", [False, True])
def test_a_reader_that_had_not_seen_rows_gets_each_once_when_the_snapshots_have_expired(lakehouse, after):
    """``after``: something landed after the compaction; else its own snapshot is the only one that is left."""
    for number in range(3):
        land(lakehouse, number)
    compact(loader(lakehouse), LATER)
    if after:
        land(lakehouse, 7, at=NOON + timedelta(hours=9))
    forget_all_but_the_newest(lakehouse)
    assert landed(read_log(lakehouse)) == (4 if after else 3)


def test_a_reader_that_stops_anywhere_leaves_no_compacted_row_out(lakehouse):
    for number in range(3):
        land(lakehouse, number)
    compact(loader(lakehouse), LATER)
    for number in range(3, 6):
        land(lakehouse, number, at=NOON + timedelta(hours=number))
    forget_all_but_the_newest(lakehouse)
    logs = []
    while (
        reader := CommitReader(lakehouse.table(TABLE), {logs[-1].table_uuid: logs[-1].sequence} if logs else {})
    ).step():
        logs.append(reader.result())
    assert sum(landed(log) for log in logs) == 6


def test_every_table_is_compacted_by_its_own_hours(lakehouse):
    assert all(
        compact(lambda name=name: lakehouse.table(name), LATER) == compaction.CompactionResult() for name in SPECS
    )
