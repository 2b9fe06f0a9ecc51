"""OrphanCleanup go, what is alive or may become so stays; on disks and on S3."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.land.lakehouse.maintenance.orphan_files import OrphanCleanup, delete_orphans
from mmplatform.land.lakehouse.maintenance.snapshot_expiry import expire_snapshots
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from tests.land.records import message, position

TABLE = "messages"


def land(lakehouse, *numbers):
    for number in numbers:
        place = position(number)
        lakehouse.append(TABLE, [(place, record_to_row(message(number), place)[1])], offsets={}, source="archive")


def loader(lakehouse):
    return lambda: lakehouse.table(TABLE)


def folder(lakehouse):
    return Path(lakehouse.table(TABLE).location().removeprefix("file://"))


def leave(lakehouse, name, content=b"x" * 11, *, old=True):
    path = folder(lakehouse) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if old:
        os.utime(path, (0, 0))
    return path


def in_two_days():
    """Everything that is written in a test is old by then."""
    return datetime.now(UTC) + timedelta(days=2)


def everything(lakehouse):
    return {path for path in folder(lakehouse).rglob("*") if path.is_file()}


def test_orphans_are_deleted_and_live_files_stay(lakehouse):
    land(lakehouse, 0, 1, 2)
    alive = everything(lakehouse)
    orphans = [
        leave(lakehouse, "data/event_hour=2026-03-05-12/subject_bucket=3/crashed.parquet"),
        leave(lakehouse, "metadata/crashed-m0.avro"),
        leave(lakehouse, "metadata/00009-lost-the-race.metadata.json"),
    ]
    assert delete_orphans(loader(lakehouse), in_two_days()) == OrphanCleanup(files=3, size=33, young=0)
    assert not any(path.exists() for path in orphans)
    assert everything(lakehouse) == alive
    assert lakehouse.scan(TABLE).num_rows == 3


def test_a_young_file_may_belong_to_a_commit_that_is_under_way(lakehouse):
    land(lakehouse, 0)
    young = leave(lakehouse, "data/under-way.parquet", old=False)
    assert delete_orphans(loader(lakehouse), datetime.now(UTC)) == OrphanCleanup(young=1)
    assert young.exists()
    with pytest.raises(ValueError, match="under way"):
        delete_orphans(loader(lakehouse), datetime.now(UTC), age=timedelta(minutes=5))


def test_what_is_committed_after_the_folder_was_listed_stays(lakehouse):
    """The file is old, as if its writer had slept for days; it is referred to by the time that we ask."""
    land(lakehouse, 0)
    calls = []

    def load_and_commit_meanwhile():
        if calls:
            land(lakehouse, 1)
        calls.append(1)
        return lakehouse.table(TABLE)

    assert delete_orphans(load_and_commit_meanwhile, in_two_days()).files == 0
    assert lakehouse.scan(TABLE).num_rows == 2


def test_an_old_snapshots_files_are_alive_until_it_has_expired(lakehouse):
    land(lakehouse, *range(4))
    lakehouse.delete_through(TABLE, {message(0).artifact_id: message(0).version.sortable})
    assert delete_orphans(loader(lakehouse), in_two_days()).files == 0
    first = lakehouse.table(TABLE).metadata.snapshots[3]
    assert lakehouse.table(TABLE).scan(snapshot_id=first.snapshot_id).to_arrow().num_rows == 4


def test_a_crash_between_expiring_snapshots_and_deleting_their_files_is_repaired(lakehouse, monkeypatch):
    land(lakehouse, *range(4))
    lakehouse.delete_through(TABLE, {message(0).artifact_id: message(0).version.sortable})
    table = lakehouse.table(TABLE)
    with monkeypatch.context() as patch:
        patch.setattr(type(table.io), "delete", lambda *_: (_ for _ in ()).throw(ConnectionResetError))
        with pytest.raises(Unavailable):
            expire_snapshots(table, in_two_days(), min_snapshots=1)
    done = delete_orphans(loader(lakehouse), in_two_days())
    assert done.files >= 4, "the manifest lists of four snapshots at least"
    assert lakehouse.scan(TABLE).num_rows == 3


def test_files_of_others_are_not_touched(lakehouse):
    land(lakehouse, 0)
    kept = [
        leave(lakehouse, "notes.txt"),
        leave(lakehouse, "data/README"),
        leave(lakehouse, "elsewhere/a.parquet"),
        leave(lakehouse, "../messages_of_another/data/b.parquet"),
    ]
    assert delete_orphans(loader(lakehouse), in_two_days()).files == 0
    assert all(path.exists() for path in kept)


def test_a_folder_that_holds_another_table_is_not_cleaned(lakehouse):
    land(lakehouse, 0)
    crashed = leave(lakehouse, "data/crashed.parquet")
    inside = f"{lakehouse.table(TABLE).location()}/data/inner"
    with pytest.raises(Misconfigured, match="another table"):
        delete_orphans(loader(lakehouse), in_two_days(), other_locations=[inside])
    assert crashed.exists()


def test_a_table_that_another_catalog_has_in_the_same_folder_is_not_taken_for_orphans(lakehouse, tmp_path):
    land(lakehouse, 0, 1, 2)
    alive = everything(lakehouse)
    other = Lakehouse.open(
        load(data_dir=tmp_path / "other", iceberg_warehouse=str(tmp_path / "lakehouse" / "warehouse"))
    )
    other.ensure_tables()
    assert folder(other) == folder(lakehouse)
    for one, another in ((lakehouse, other), (other, lakehouse)):
        theirs = another.table(TABLE).metadata.table_uuid
        with pytest.raises(Misconfigured, match=f"{theirs} of another catalog"):
            delete_orphans(loader(one), in_two_days())
    assert alive < everything(lakehouse)
    assert lakehouse.scan(TABLE).num_rows == 3


def test_a_catalog_that_was_lost_and_created_again_does_not_cost_the_rows(lakehouse, tmp_path):
    land(lakehouse, 0, 1, 2)
    rows = set(folder(lakehouse).rglob("*.parquet"))
    (tmp_path / "lakehouse" / "catalog.sqlite").rename(tmp_path / "lost.sqlite")
    created = Lakehouse.open(load(data_dir=tmp_path))
    created.ensure_tables()
    with pytest.raises(Misconfigured, match="bring the catalog back"):
        delete_orphans(loader(created), in_two_days())
    land(created, 3)  # the archiver goes on: the older rows are needed all the same
    with pytest.raises(Misconfigured, match="bring the catalog back"):
        delete_orphans(loader(created), in_two_days())
    assert rows < set(folder(created).rglob("*.parquet"))


def test_rows_that_are_older_than_their_empty_table_are_not_taken_for_orphans(lakehouse):
    stale = leave(lakehouse, "data/of-whom.parquet")
    with pytest.raises(Misconfigured, match="older than it"):
        delete_orphans(loader(lakehouse), in_two_days())
    assert stale.exists()


def test_what_a_first_commit_left_as_it_crashed_is_an_orphan_of_an_empty_table(lakehouse):
    leave(lakehouse, "data/crashed.parquet", old=False)
    assert delete_orphans(loader(lakehouse), in_two_days()).files == 1


def test_metadata_that_cannot_be_read_deletes_nothing(lakehouse):
    land(lakehouse, 0, 1)
    crashed = leave(lakehouse, "data/crashed.parquet")
    for path in folder(lakehouse).rglob("snap-*.avro"):
        path.unlink()
    with pytest.raises(Unavailable):
        delete_orphans(loader(lakehouse), in_two_days())
    assert crashed.exists()
