"""Measures what a write to the index costs its server, by the rows in its log, and by the layout of a passage.

    python -m benchmarks.index_writes [--rows 2] [--writes 400] [--there 1000]

A Chroma server of its own, one collection, rows of the size and fields that the product writes. *Fields* is how the
product lays a passage out: thirteen fields of metadata and the text as a document. *Folded* keeps the three that are
filtered by and puts all else, the text too, into one field: what could be had. Processor of the server, for one write.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.backlogs import forged
from benchmarks.incremental import chroma_server
from benchmarks.machine import cpu_seconds, describe
from mmplatform.events import utc_now
from mmplatform.land.index.chroma_client import connect
from mmplatform.land.index.chroma_collections import SYNC_THRESHOLD
from mmplatform.land.index.row_codec import passage_metadata

_CHROMAS_OWN: Final = 1000
_FILTERED: Final = ("subject_id", "modality", "event_time")


def rows_of(first: int, count: int, *, folded: bool) -> dict[str, Any]:
    """Arguments of an upsert of so many rows that were never there."""
    passages = list(forged(first, count, "bench@1"))
    fields = [passage_metadata(passage, utc_now()) for passage in passages]
    found = {
        "ids": [passage.artifact_id for passage in passages],
        "embeddings": np.stack([passage.vector for passage in passages]),
    }
    texts = [passage.text for passage in passages]
    if not folded:
        return found | {"metadatas": fields, "documents": texts}
    return found | {
        "metadatas": [
            {name: row[name] for name in _FILTERED} | {"rest": json.dumps({**row, "text": text})}
            for row, text in zip(fields, texts, strict=True)
        ]
    }


def milliseconds(sync_rows: int, rows: int, writes: int, existing: int, *, folded: bool) -> float:
    """Milliseconds of the server's processor for one write."""
    with tempfile.TemporaryDirectory() as folder, chroma_server(Path(folder)) as (settings, server):
        collection = connect(settings).create_collection(
            "writes",
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine", "sync_threshold": sync_rows}},
        )
        for first in range(0, existing, 100):
            collection.upsert(**rows_of(first, 100, folded=folded))
        before = cpu_seconds(server)
        for write in range(writes):
            collection.upsert(**rows_of(existing + write * rows, rows, folded=folded))
        return 1000 * (cpu_seconds(server) - before) / writes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2, help="of one write")
    parser.add_argument("--writes", type=int, default=400)
    parser.add_argument("--there", type=int, default=1000, help="rows in the index before")
    arguments = parser.parse_args()
    print(f"machine: {describe()}")
    print("| rows before the graph is written | a passage's layout | ms of CPU for a write |\n|---|---|---|")
    for sync_rows, folded in (
        (_CHROMAS_OWN, False),
        (SYNC_THRESHOLD, False),
        (SYNC_THRESHOLD // 5, False),
        (SYNC_THRESHOLD, True),
    ):
        elapsed_ms = milliseconds(sync_rows, arguments.rows, arguments.writes, arguments.there, folded=folded)
        print(f"| {sync_rows} | {'folded' if folded else 'fields'} | {elapsed_ms:.1f} |", flush=True)


if __name__ == "__main__":
    main()
