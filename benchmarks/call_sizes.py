"""Bytes of a call on the log: its events, what is derived of it, and its state, by minute.

    python -m benchmarks.call_sizes [--chunk 1.0] [--repeats 4]

Folds the sample's call, several times one after the other, as the worker does. The worker writes the state at its
checkpoints, once a second of processing at most; so here the state counts once for each second of audio. Bytes are
those of key, value and headers before compression.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.faults.ledger import CASE
from benchmarks.machine import describe
from benchmarks.record_sizes import NOW, PSEUDONYMS, record_bytes
from mmplatform.consumers.deriver import CALL_COMMIT_INTERVAL_S
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.call.state import CallState
from mmplatform.derive.media.audio import probe, split
from mmplatform.events import Arrival, CallChunk, CallEnd, Position, encode
from mmplatform.kafka.headers import event_headers
from mmplatform.land.blobs.file_store import FileBlobs
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.factories import call_deriver
from mmplatform.pipeline.process import Outcome
from mmplatform.pipeline.publish import outgoing_records
from mmplatform.ports import Blobs
from mmplatform.settings import load

CALL: Final = "call-1"
_TYPE: Final = "audio/wav"


def call_events(blobs: Blobs, chunk_s: float, repeats: int) -> Iterator[CallChunk | CallEnd]:
    """The sample's call as its source sends it, so many times as one call."""
    index, start_s = 0, 0.0
    owner: dict[str, Any] = {"source": "bench", "conversation_id": CALL, "subject_id": "customer-1"}
    for _ in range(repeats):
        for _, _, wav in split(CASE / "call.flac", chunk_s):
            facts = probe(wav, _TYPE)
            ended_at = NOW + timedelta(seconds=start_s + facts.duration_s)
            yield CallChunk(
                **owner, event_id=f"{CALL}:{index}", event_time=ended_at, ingested_at=ended_at, chunk_index=index,
                start_s=start_s, duration_s=facts.duration_s, sample_rate=facts.sample_rate, channels=facts.channels,
                speakers=("agent", "customer"), blob=blobs.put(wav, media_type=_TYPE),
            )  # fmt: skip
            index, start_s = index + 1, start_s + facts.duration_s
    ended_at = NOW + timedelta(seconds=start_s)
    yield CallEnd(**owner, event_id=f"{CALL}:end", event_time=ended_at, ingested_at=ended_at, chunks=index)


def fold(deriver: CallDeriver, events: Iterator[CallChunk | CallEnd]) -> tuple[dict[str, list[int]], float]:
    """Bytes of each record by kind, and the seconds of the call."""
    sizes: dict[str, list[int]] = {"event": [], "state": [], "utterance": [], "passage": [], "retraction": []}
    state: CallState | None = None
    written_s, seconds = -CALL_COMMIT_INTERVAL_S, 0.0
    for offset, event in enumerate(events):
        headers = event_headers(event, PSEUDONYMS)
        sizes["event"].append(record_bytes(event.conversation_key, encode(event), headers))
        position = Position(topic="interactions.call", topic_partition=0, offset=offset)
        arrival: Arrival[Any] = Arrival(event, position)
        state, derived = deriver.advance(state, arrival)
        for record in outgoing_records(Outcome(derived.artifacts), PSEUDONYMS):
            kind = record.headers["kind"].decode()
            sizes[kind].append(record_bytes(record.key, record.value, record.headers))
        seconds = event.end_s if isinstance(event, CallChunk) else seconds
        if isinstance(event, CallEnd) or seconds - written_s >= CALL_COMMIT_INTERVAL_S:
            value = json.dumps(state.model_dump(mode="json"), separators=(",", ":")).encode()
            sizes["state"].append(record_bytes(event.conversation_key, value, {}))
            written_s = seconds
    return sizes, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunk", type=float, default=1.0, help="seconds of a chunk")
    parser.add_argument("--repeats", type=int, default=4, help="of the sample's call of 90 s, as one call")
    arguments = parser.parse_args()
    settings = load()
    print(f"machine: {describe()}")
    with tempfile.TemporaryDirectory(prefix="mmplatform-call-sizes-") as folder:
        blobs = FileBlobs(Path(folder))
        events = call_events(blobs, arguments.chunk, arguments.repeats)
        sizes, seconds = fold(call_deriver(settings, MemoryMemo(), blobs), events)
    minutes = seconds / 60
    print(f"\nA call of {minutes:.1f} minutes in chunks of {arguments.chunk:g} s.\n")
    print("| record of a call | a minute | bytes, p50 | p99 | kB a minute |\n|---|---|---|---|---|")
    for kind, found in sizes.items():
        if found:
            p50, p99 = np.percentile(found, (50, 99))
            print(f"| {kind} | {len(found) / minutes:.1f} | {p50:.0f} | {p99:.0f} | {sum(found) / minutes / 1e3:.1f} |")
    total = sum(sum(found) for found in sizes.values())
    print(f"| all | {sum(map(len, sizes.values())) / minutes:.1f} | | | {total / minutes / 1e3:.1f} |")


if __name__ == "__main__":
    main()
