"""Measures what a passage costs the index: by collections, rate and flush, by the rows in its log, and by its layout.

    python -m benchmarks.index_writes [--passages 600] [--there 2000]       collections, rates and flushes
    python -m benchmarks.index_writes --layouts [--rows 2] [--writes 400]   Chroma's log, and a passage's layout

The first replays the writes of a stream at their sizes, without its pauses, by the product's own write: versions are
read, rows upserted, and each is proven by a query. *Before* is a write every 0.05 s, *after* the product's rule: 50
rows of a collection, or 30 s. Processor is that of Chroma's server, and of the writer.

The second measures one write of a few rows. *Fields* is how the product lays a passage out: its fields as metadata and
the text as a document. *Folded* keeps the three that are filtered by and puts all else into one field.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.backlogs import forged
from benchmarks.incremental import chroma_server
from benchmarks.machine import cpu_seconds, describe
from mmplatform.artifacts import Passage
from mmplatform.buckets import BUCKET_NAMES
from mmplatform.events import utc_now
from mmplatform.land.index.chroma_client import connect
from mmplatform.land.index.chroma_collections import SYNC_THRESHOLD
from mmplatform.land.index.row_codec import IndexRow, passage_metadata
from mmplatform.land.index.store import ChromaIndex
from mmplatform.settings import load

_CHROMAS_OWN: Final = 1000
_FILTERED: Final = ("subject_id", "modality", "event_time")
_EMBEDDER: Final = "bench@1"
COLLECTIONS: Final = (16, 4, 1)
RATES: Final = (20, 100)
_BEFORE_S: Final = 0.05
_BEFORE_ROWS: Final = 128


def stream_writes(
    passages: int, collections: int, rate: float, *, fill: int, interval_s: float, seed: int = 1
) -> Iterator[list[int]]:
    """Numbers of the passages of each write, when they arrive by a Poisson process on random collections.

    Args:
        passages: how many arrive.
        collections: over which they are spread evenly.
        rate: passages a second.
        fill: rows of one collection that are written at once.
        interval_s: seconds after which all are written.
        seed: of the arrivals.
    """
    chance = random.Random(seed)
    pending: dict[int, list[int]] = {}
    clock, flushed_at = 0.0, 0.0
    for number in range(passages):
        clock += chance.expovariate(rate)
        if clock - flushed_at >= interval_s:
            yield from pending.values()
            pending, flushed_at = {}, clock
        rows = pending.setdefault(chance.randrange(collections), [])
        rows.append(number)
        if len(rows) >= fill:
            yield pending.pop(next(name for name, waiting in pending.items() if waiting is rows))
    yield from pending.values()


def write_costs(writes: list[list[int]], collections: int, existing: int) -> tuple[float, float]:
    """Milliseconds of processor for a row: of the server, and of the writer."""
    with tempfile.TemporaryDirectory() as folder, chroma_server(Path(folder)) as (settings, server):
        index = ChromaIndex.open(settings)
        share = existing // collections
        for number in range(collections):
            _write(index, number, list(forged(number * share, share, _EMBEDDER)))
        rows = sum(map(len, writes))
        prepared = [[row for number in write for row in forged(existing + number, 1, _EMBEDDER)] for write in writes]
        before, own = cpu_seconds(server), time.process_time()
        for number, passages in enumerate(prepared):
            _write(index, number % collections, passages)
        spent, own = cpu_seconds(server) - before, time.process_time() - own
        index.close()
    return 1000 * spent / rows, 1000 * own / rows


def _write(index: ChromaIndex, number: int, passages: Sequence[Passage]) -> None:
    bucket = BUCKET_NAMES[number]
    index.versions(_EMBEDDER, bucket, [passage.artifact_id for passage in passages])
    index.upsert_rows(
        _EMBEDDER,
        bucket,
        [IndexRow(row.artifact_id, row.text, passage_metadata(row, utc_now()), row.vector) for row in passages],
    )


def rows_of(first: int, count: int, *, folded: bool) -> dict[str, Any]:
    """Arguments of an upsert of so many rows that were never there."""
    passages = list(forged(first, count, _EMBEDDER))
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


def print_streams(passages: int, existing: int) -> None:
    """The table of collections, rates and flushes."""
    settings = load()
    after = ("after", settings.index_max_batch_size, settings.index_commit_interval_s)
    print("| collections | passages/s | flush | rows of a write | Chroma, ms a row | writer, ms a row |")
    print("|---|---|---|---|---|---|")
    for collections in COLLECTIONS:
        for rate in RATES:
            for name, fill, interval_s in (("before", _BEFORE_ROWS, _BEFORE_S), after):
                # A whole interval at least, so that the last write is as full as the others.
                count = (
                    passages if name == "before" else max(passages, int(2 * rate * settings.index_commit_interval_s))
                )
                writes = list(stream_writes(count, collections, rate, fill=fill, interval_s=interval_s))
                server, writer = write_costs(writes, collections, existing)
                size = sum(map(len, writes)) / len(writes)
                print(f"| {collections} | {rate} | {name} | {size:.1f} | {server:.2f} | {writer:.2f} |", flush=True)


def print_layouts(rows: int, writes: int, existing: int) -> None:
    """The table of Chroma's log and of layouts."""
    print("| rows before the graph is written | a passage's layout | ms of CPU for a write |\n|---|---|---|")
    for sync_rows, folded in (
        (_CHROMAS_OWN, False),
        (SYNC_THRESHOLD, False),
        (SYNC_THRESHOLD // 5, False),
        (SYNC_THRESHOLD, True),
    ):
        elapsed_ms = milliseconds(sync_rows, rows, writes, existing, folded=folded)
        print(f"| {sync_rows} | {'folded' if folded else 'fields'} | {elapsed_ms:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=600, help="that arrive before the change, for each figure")
    parser.add_argument("--layouts", action="store_true", help="Chroma's log, and a passage's layout")
    parser.add_argument("--rows", type=int, default=2, help="of one write, with --layouts")
    parser.add_argument("--writes", type=int, default=400, help="with --layouts")
    parser.add_argument("--there", type=int, default=2000, help="rows in the index before")
    arguments = parser.parse_args()
    print(f"machine: {describe()}")
    if arguments.layouts:
        print_layouts(arguments.rows, arguments.writes, arguments.there)
    else:
        print_streams(arguments.passages, arguments.there)


if __name__ == "__main__":
    main()
