"""One suite over every catalog and warehouse that the settings can name: a row lands once, whatever lies beneath."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest

from mmplatform.events import utc_now
from mmplatform.identity import subject_key
from mmplatform.land.lakehouse.maintenance.compaction import compact
from mmplatform.land.lakehouse.maintenance.orphan_files import delete_orphans
from mmplatform.land.lakehouse.maintenance.snapshot_expiry import expire_snapshots
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.snapshot_offsets import CommitResult
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import TABLES
from mmplatform.settings import load
from tests.builders import chat, message, passage, position
from tests.land.records import retraction
from tests.servers.s3 import TABLE_BUCKET

GROUP = "archive"
KINDS = [
    pytest.param("sqlite-files"),
    pytest.param("sqlite-s3", marks=pytest.mark.s3),
    pytest.param("rest-s3", marks=pytest.mark.s3),
    pytest.param("postgres-files"),
    pytest.param("glue-s3", marks=pytest.mark.s3),
]


@pytest.fixture(params=KINDS)
def settings(request, tmp_path):
    given = {"data_dir": tmp_path, "iceberg_namespace": f"t{uuid.uuid4().hex[:8]}"}
    if request.param == "sqlite-s3":
        server = request.getfixturevalue("s3_server")
        given |= server.settings() | {"iceberg_warehouse": f"s3://{server.new_bucket()}/warehouse"}
    elif request.param == "rest-s3":
        server = request.getfixturevalue("s3_server")
        given |= server.settings() | {
            "iceberg_catalog": f"rest+sigv4+{server.iceberg_rest_catalog}",
            "iceberg_warehouse": f"s3://{TABLE_BUCKET}",
        }
    elif request.param == "postgres-files":
        given |= {"iceberg_catalog": request.getfixturevalue("postgres_server")}
    elif request.param == "glue-s3":
        server = request.getfixturevalue("s3_server")
        request.getfixturevalue("glue_server")
        given |= server.settings() | {
            "iceberg_catalog": "glue://",
            "iceberg_warehouse": f"s3://{server.new_bucket()}/warehouse",
        }
    return load(**given)


@pytest.fixture
def lakehouse(settings):
    opened = Lakehouse.open(settings)
    opened.ensure_tables()
    return opened


def land(lakehouse, records, first: int = 0) -> int:
    landed = 0
    tables: dict[str, list] = {}
    for offset, record in enumerate(records, start=first):
        table, row = record_to_row(record, position(offset))
        tables.setdefault(table, []).append((position(offset), row))
    for table, rows in tables.items():
        end = {("interactions.chat", 0): first + len(records)}
        landed += lakehouse.append(table, rows, offsets=end, source=GROUP)
    return landed


def test_every_table_is_there(lakehouse):
    assert all(lakehouse.scan(table).num_rows == 0 for table in TABLES)


def test_what_was_landed_is_there_for_another_process(settings, lakehouse):
    land(lakehouse, [chat(n) for n in range(5)])
    rows = Lakehouse.open(settings).scan("raw_chats", subject_key=subject_key("default", "cust-1")).to_pylist()
    assert sorted(row["event_id"] for row in rows) == [f"chat-{n}" for n in range(5)]


def test_a_crash_between_the_two_commits_neither_loses_nor_doubles(settings, lakehouse):
    records = [chat(n) for n in range(6)]
    land(lakehouse, records[:4])  # the process dies here, before the log's offsets are committed
    again = Lakehouse.open(settings)
    assert land(again, records) == 2
    assert again.table("raw_chats").scan().to_arrow().num_rows == 6
    assert again.landed_offsets("raw_chats", GROUP) == {("interactions.chat", 0): 6}


def test_vectors_come_back_to_the_bit(lakehouse):
    made = passage(message(chat(0), position()))
    land(lakehouse, [made])
    [row] = lakehouse.scan("passages").to_pylist()
    assert row["vector"] == made.vector.tolist()


def test_a_retraction_takes_its_row_and_no_other(lakehouse):
    made = [message(chat(n), position(n)) for n in range(3)]
    land(lakehouse, made)
    lakehouse.delete_through("messages", {made[1].artifact_id: made[1].version.sortable})
    assert {row["artifact_id"] for row in lakehouse.scan("messages").to_pylist()} == {
        made[0].artifact_id,
        made[2].artifact_id,
    }


def test_a_row_with_a_higher_version_replaces_the_one_that_landed_and_a_lower_one_does_not(settings, lakehouse):
    made = [message(chat(0), position(n), text) for n, text in enumerate(("call 555", "call [PHONE]"))]
    land(lakehouse, made[:1])
    assert land(Lakehouse.open(settings), made[1:], first=5) == 1
    for writer in (lakehouse, Lakehouse.open(settings)):
        assert land(writer, [made[0]], first=9) == 0
    assert lakehouse.table("messages").scan().to_arrow().column("text").to_pylist() == ["call [PHONE]"]


def test_a_retraction_of_another_writer_keeps_late_rows_out(settings, lakehouse):
    other = Lakehouse.open(settings)
    made = [message(chat(0), position(n), f"text {n}") for n in range(4)]
    land(other, made[:1])
    lakehouse.delete_through("messages", {made[0].artifact_id: made[2].version.sortable})
    assert land(lakehouse, [retraction(made[2])], first=2) == 1
    assert [land(other, [late], first=10 + n) for n, late in enumerate(made)] == [0, 0, 0, 1]
    assert lakehouse.table("messages").scan().to_arrow().column("text").to_pylist() == ["text 3"]


def test_old_snapshots_go_and_no_row_goes_with_them(lakehouse):
    for n in range(4):
        land(lakehouse, [message(chat(0), position(n), f"text {n}"), chat(n)], first=2 * n)
    table = lakehouse.table("messages")
    found = expire_snapshots(table, utc_now() + timedelta(days=1), min_snapshots=1)
    assert found.snapshots == 6  # three replacements are two snapshots each
    assert found.files >= 3
    assert found.size > 0
    assert lakehouse.table("messages").scan().to_arrow().column("text").to_pylist() == ["text 3"]
    assert lakehouse.landed_offsets("messages", GROUP) == {("interactions.chat", 0): 8}
    assert land(lakehouse, [chat(9)], first=9) == 1


def test_two_writers_on_two_tables_do_not_disturb_each_other(settings, lakehouse):
    errors: list[BaseException] = []

    def write(kind) -> None:
        try:
            own = Lakehouse.open(settings)
            for n in range(4):
                land(own, [kind(n)], first=n)
        except BaseException as error:  # noqa: BLE001 - reported in the main thread
            errors.append(error)

    kinds = (chat, lambda n: message(chat(n), position(n)))
    threads = [threading.Thread(target=write, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [lakehouse.scan(table).num_rows for table in ("raw_chats", "messages")] == [4, 4]


def test_what_a_commit_wrote_is_what_its_snapshot_says(lakehouse):
    table, row = record_to_row(chat(0), position())
    landed = lakehouse.land(table, [(position(), row)], offsets={("interactions.chat", 0): 1}, source=GROUP)
    there = lakehouse.table(table)
    snapshot = there.current_snapshot()
    assert (landed.rows, landed.files, landed.size) == (1, 1, int(snapshot.summary["added-files-size"]))
    assert (landed.snapshot_id, landed.location) == (snapshot.snapshot_id, there.location())
    again = lakehouse.land(table, [(position(), row)], offsets={("interactions.chat", 0): 1}, source=GROUP)
    assert again == CommitResult()


def test_upkeep_changes_no_row_and_leaves_no_orphan_whatever_lies_beneath(lakehouse):
    now = utc_now()
    for number in range(3):
        land(lakehouse, [chat(number)], number)
    before = sorted(map(str, lakehouse.table("raw_chats").scan().to_arrow().to_pylist()))

    def table():
        return lakehouse.table("raw_chats")

    done = compact(table, now + timedelta(days=3650))
    assert (done.files_before, done.left, done.rewritten) == (3, 0, 3)
    left = f"{table().location().rstrip('/')}/data/crashed.parquet"
    with table().io.new_output(left).create() as file:
        file.write(b"x" * 7)
    assert delete_orphans(table, now).young >= 1
    gone = delete_orphans(table, now + timedelta(days=2))
    assert (gone.files >= 1, gone.size >= 7) == (True, True)
    assert not table().io.new_input(left).exists()
    assert sorted(map(str, lakehouse.table("raw_chats").scan().to_arrow().to_pylist())) == before
    assert delete_orphans(table, now + timedelta(days=2)).files == 0
