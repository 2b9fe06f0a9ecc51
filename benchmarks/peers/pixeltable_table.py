"""Pixeltable: a table with an embedding index, into which a loop inserts, updates and deletes by id.

Runs in an environment of its own: ``python -m benchmarks.peers.pixeltable_table index|read FOLDER MODEL``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.arrivals import commit_offset, follow, offset_file
from benchmarks.peers.watch import Row, main


def index(folder: Path, model: Path) -> None:
    """Follow the log for ever."""
    import pixeltable as pxt

    from benchmarks.peers.minilm import MiniLM
    from benchmarks.peers.pixeltable_udf import LOADED, minilm

    LOADED.append(MiniLM(model))
    columns: dict[str, Any] = {"id": pxt.Required[pxt.String], "n": pxt.Int, "version": pxt.Int, "text": pxt.String}
    table = pxt.create_table("chats", columns, primary_key="id", if_exists="ignore")
    table.add_embedding_index("text", idx_name="by_text", embedding=minilm, if_exists="ignore")
    for changes, offset in follow(folder):
        upserts = [{name: change[name] for name in columns} for change in changes if not change["deleted"]]
        if upserts:
            table.batch_update(upserts, if_not_exists="insert")
        for change in changes:
            if change["deleted"]:
                table.delete(where=table.id == change["id"])
        commit_offset(folder, offset)


def reader(folder: Path) -> Callable[[int], list[Row]]:
    """Rows that a process of its own finds, from a number on."""

    def rows(since: int) -> list[Row]:
        if not offset_file(folder).exists():
            return []  # two processes that make its database at once come to grief
        import pixeltable as pxt

        try:
            table = pxt.get_table("chats")
            found = table.where(table.n >= since).select(table.id, table.n, table.version).collect()
        except Exception:  # noqa: BLE001 - not there yet, or the indexer was killed in the middle of a change
            return []
        return [Row(row["id"], row["n"], row["version"]) for row in found]

    return rows


if __name__ == "__main__":
    main(index, reader)
