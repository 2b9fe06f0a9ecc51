"""Several archivers at once on one table whose catalog is Postgres: no row is lost, and none is there twice."""

from __future__ import annotations

import multiprocessing
import uuid
from collections import Counter

from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from tests.builders import chat, position

GROUP, TABLE, TOPIC = "archive", "raw_chats", "interactions.chat"
WRITERS, COMMITS, ROWS = 3, 4, 10


def placed(number: int, offset: int):
    """A row of a topic partition; its event is named by its place."""
    place = position(offset, TOPIC).model_copy(update={"topic_partition": number})
    return place, record_to_row(chat(0).model_copy(update={"event_id": f"{number}-{offset}"}), place)[1]


def archive(given, number: int, together) -> None:
    """One archiver of the group with a topic partition of its own; it dies between two commits and reads again."""
    lakehouse = Lakehouse.open(load(**given))
    together.wait(timeout=120)
    for commit in range(COMMITS):
        for _ in ("lands", "is read again"):
            first = commit * ROWS
            rows = [placed(number, offset) for offset in range(first, first + ROWS)]
            lakehouse.land(TABLE, rows, offsets={(TOPIC, number): first + ROWS}, source=GROUP)


def test_archivers_that_commit_at_once_lose_and_double_nothing(postgres_server, tmp_path):
    given = {"data_dir": tmp_path, "iceberg_namespace": f"t{uuid.uuid4().hex[:8]}", "iceberg_catalog": postgres_server}
    lakehouse = Lakehouse.open(load(**given))
    lakehouse.ensure_tables()
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(WRITERS)
    writers = [context.Process(target=archive, args=(given, number, together)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=240)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    there = lakehouse.table(TABLE).scan(selected_fields=("event_id",)).to_arrow().column("event_id").to_pylist()
    assert Counter(there) == {f"{n}-{offset}": 1 for n in range(WRITERS) for offset in range(COMMITS * ROWS)}
    assert lakehouse.landed_offsets(TABLE, GROUP) == {(TOPIC, n): COMMITS * ROWS for n in range(WRITERS)}
    # One of them is gone: who takes its topic partition over reads its last records again.
    heir = Lakehouse.open(load(**given))
    assert heir.append(TABLE, [placed(1, n) for n in range(ROWS * COMMITS)], offsets={(TOPIC, 1): 1}, source=GROUP) == 0
