"""A hand-written loop into LanceDB, as its documentation has it: merge_insert by id, optimize now and then.

Runs in an environment of its own: ``python -m benchmarks.peers.lancedb_loop index|read FOLDER MODEL``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.peers.arrivals import commit_offset, follow
from benchmarks.peers.minilm import MiniLM
from benchmarks.peers.watch import Row, main

OPTIMIZE_EVERY = 50
"""Writes; each makes a version and a file, which optimize() puts together."""


def index(folder: Path, model: Path) -> None:
    """Follow the log for ever."""
    import lancedb
    import pyarrow as pa

    embedder = MiniLM(model)
    fields: list[tuple[str, Any]] = [
        ("id", pa.string()),
        ("n", pa.int64()),
        ("version", pa.int64()),
        ("text", pa.string()),
        ("vector", pa.list_(pa.float32(), 384)),
    ]
    schema = pa.schema(fields)
    table = lancedb.connect(folder / "lance").create_table("chats", schema=schema, exist_ok=True)
    for number, (changes, offset) in enumerate(follow(folder), start=1):
        upserts = [change for change in changes if not change["deleted"]]
        if upserts:
            vectors = embedder.embed([change["text"] for change in upserts])
            columns = {name: [change[name] for change in upserts] for name in ("id", "n", "version", "text")}
            rows = pa.table({**columns, "vector": list(vectors)}, schema=schema)
            table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)
        if len(upserts) < len(changes):
            deleted_ids = ", ".join(f"'{change['id']}'" for change in changes if change["deleted"])
            table.delete(f"id IN ({deleted_ids})")
        commit_offset(folder, offset)
        if number % OPTIMIZE_EVERY == 0:
            table.optimize(cleanup_older_than=timedelta(0))


def reader(folder: Path) -> Callable[[int], list[Row]]:
    """Rows that a process of its own finds, from a number on."""
    import lancedb

    opened: list[Any] = []

    def rows(since: int) -> list[Row]:
        if not opened:
            database = lancedb.connect(folder / "lance")
            try:
                opened.append(database.open_table("chats"))
            except (ValueError, FileNotFoundError):
                return []
        opened[0].checkout_latest()
        found = opened[0].search().where(f"n >= {since}").select(["id", "n", "version"]).limit(1_000_000).to_list()
        return [Row(row["id"], row["n"], row["version"]) for row in found]

    return rows


if __name__ == "__main__":
    main(index, reader)
