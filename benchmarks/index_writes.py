"""What a write to the index costs its server, by how many rows may lie in its log, and by how a passage is laid out.

    python -m benchmarks.index_writes [--rows 2] [--writes 400] [--there 1000]

A Chroma server of its own, one collection, rows of the size and fields that the product writes. *Fields* is how the
product lays a passage out: thirteen fields of metadata and the text as a document. *Folded* keeps the three that are
filtered by and puts all else, the text too, into one field: what could be had. Processor of the server, for one write.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.efficiency import running
from benchmarks.load import chat_texts
from benchmarks.machine import describe
from benchmarks.reprocess import wait_for_answer
from mmplatform.land.chroma_collections import SYNC_ROWS
from mmplatform.local.ports import any_free
from mmplatform.settings import load

_CHROMAS_OWN: Final = 1000
_DIMENSIONS: Final = 384
_FILTERED: Final = ("subject_id", "modality", "event_time")


def rows_of(first: int, count: int, *, folded: bool) -> dict[str, Any]:
    """Arguments of an upsert of so many rows that were never there."""
    chance, texts = np.random.default_rng(first), chat_texts()
    said = [f"{texts[n % len(texts)]} (ticket {n})" for n in range(first, first + count)]
    stamps = dict.fromkeys(
        ("event_time_iso", "ingested_at", "derived_at", "indexed_at"), "2026-08-01T10:00:00.123+00:00"
    )
    fields: list[dict[str, Any]] = [
        {
            "subject_id": f"customer-{n % 200}",
            "conversation_id": f"conversation-{n % 200}",
            "modality": "chat",
            "event_time": 1.7e9 + n,
            **stamps,
            "locator": json.dumps({"at": "chat", "event_id": f"event-{n}", "role": "customer", "start": 0, "end": 80}),
            "source_kind": "message",
            "source_artifact_id": f"{n:032x}",
            "event_ids": json.dumps([f"event-{n}"]),
            "embedder": "minilm@be5c6b9ac2eb",
        }
        for n in range(first, first + count)
    ]
    if folded:
        fields = [
            {name: each[name] for name in _FILTERED} | {"rest": json.dumps({**each, "text": text})}
            for each, text in zip(fields, said, strict=True)
        ]
    found = {
        "ids": [f"{n:032x}" for n in range(first, first + count)],
        "embeddings": chance.standard_normal((count, _DIMENSIONS)).astype(np.float32),
        "metadatas": fields,
    }
    return found if folded else found | {"documents": said}


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A Chroma server: its port and its process."""
    port = any_free()
    command = [sys.executable, "-m", "mmplatform.local.chroma_server", "--path", str(folder / "chroma")]
    with running([*command, "--host", "127.0.0.1", "--port", str(port)], load(data_dir=folder)) as child:
        wait_for_answer(f"http://127.0.0.1:{port}/api/v2/heartbeat")
        yield port, psutil.Process(child.pid)


def milliseconds(sync_rows: int, rows: int, writes: int, there: int, *, folded: bool) -> float:
    """Of the server's processor for one write."""
    import chromadb

    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (port, process):
        collection = chromadb.HttpClient(host="127.0.0.1", port=port).create_collection(
            "writes",
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine", "sync_threshold": sync_rows}},
        )
        for first in range(0, there, 100):
            collection.upsert(**rows_of(first, 100, folded=folded))
        before = process.cpu_times()
        for write in range(writes):
            collection.upsert(**rows_of(there + write * rows, rows, folded=folded))
        after = process.cpu_times()
    return 1000 * (after.user + after.system - before.user - before.system) / writes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2, help="of one write")
    parser.add_argument("--writes", type=int, default=400)
    parser.add_argument("--there", type=int, default=1000, help="rows that are there before")
    arguments = parser.parse_args()
    print(f"machine: {describe()}")
    print("| rows before the graph is written | a passage's layout | ms of processor for a write |\n|---|---|---|")
    for sync_rows, folded in ((_CHROMAS_OWN, False), (SYNC_ROWS, False), (SYNC_ROWS // 5, False), (SYNC_ROWS, True)):
        took = milliseconds(sync_rows, arguments.rows, arguments.writes, arguments.there, folded=folded)
        print(f"| {sync_rows} | {'folded' if folded else 'fields'} | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
