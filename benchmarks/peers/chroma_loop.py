"""A hand-written loop into a Chroma server, as its documentation has it: upsert by id, the server keeps it on disk.

Runs in an environment of its own: ``python -m benchmarks.peers.chroma_loop index|read FOLDER MODEL``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.arrivals import commit_offset, follow
from benchmarks.peers.minilm import MiniLM
from benchmarks.peers.watch import Row, main

_PATIENCE_S = 60.0


def _collection(folder: Path) -> Any:
    """The collection, once the server answers."""
    import chromadb
    from chromadb.config import Settings

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        quiet = Settings(anonymized_telemetry=False)  # anew: the client notes its port in them for good
        try:
            client = chromadb.HttpClient(host="127.0.0.1", port=int((folder / "port").read_text()), settings=quiet)
            return client.get_or_create_collection(
                "chats", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
            )
        except (OSError, ValueError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def index(folder: Path, model: Path) -> None:
    """Start the server, and follow the log for ever."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "port").write_text(str(port))
    chroma = Path(sys.executable).with_name("chroma")
    server = [str(chroma), "run", "--path", str(folder / "chroma"), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("ab") as log:
        subprocess.Popen(server, stdout=log, stderr=log)
    embedder = MiniLM(model)
    collection = _collection(folder)
    for changes, offset in follow(folder):
        upserts = [change for change in changes if not change["deleted"]]
        deleted_ids = [change["id"] for change in changes if change["deleted"]]
        if upserts:
            collection.upsert(
                ids=[change["id"] for change in upserts],
                embeddings=embedder.embed([change["text"] for change in upserts]),
                documents=[change["text"] for change in upserts],
                metadatas=[{"n": change["n"], "version": change["version"]} for change in upserts],
            )
        if deleted_ids:
            collection.delete(ids=deleted_ids)
        commit_offset(folder, offset)


def reader(folder: Path) -> Callable[[int], list[Row]]:
    """Rows that a process of its own finds, from a number on."""
    opened: list[Any] = []

    def rows(since: int) -> list[Row]:
        try:
            if not opened:
                opened.append(_collection(folder))
            found = opened[0].get(where={"n": {"$gte": since}}, include=["metadatas"])
        except Exception:  # noqa: BLE001 - the server is away: it was killed, and comes back elsewhere
            opened.clear()
            return []
        return [
            Row(name, int(facts["n"]), int(facts["version"]))
            for name, facts in zip(found["ids"], found["metadatas"], strict=True)
        ]

    return rows


if __name__ == "__main__":
    main(index, reader)
