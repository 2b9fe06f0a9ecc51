"""Bytes of a chat on the log, and what a vector costs as bytes in a header against base64 in the value.

    python -m benchmarks.record_sizes [--chats 2000]

Bytes are those of key, value and headers before compression. Decoding is what every reader of ``artifacts`` does with a
passage; the floor is the same record without a vector.
"""

from __future__ import annotations

import argparse
import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import numpy as np

from benchmarks.machine import describe
from mmplatform.artifacts import VECTOR_HEADER, check_vector, decode_artifact
from mmplatform.derive.chat import ChatDeriver
from mmplatform.events import Arrival, ChatMessage, Position, encode
from mmplatform.kafka.headers import Pseudonyms, event_headers
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.factories import open_embedder, open_redactor
from mmplatform.pipeline.process import Outcome
from mmplatform.pipeline.publish import OutgoingRecord, outgoing_records
from mmplatform.settings import load

NOW: Final = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
PSEUDONYMS: Final = Pseudonyms(b"benchmark")
TEXT: Final = "my payment failed twice and I still cannot place my order, number {n}"


def record_bytes(key: str, value: bytes, headers: Mapping[str, bytes]) -> int:
    """Bytes of a record without Kafka's framing."""
    return len(key) + len(value) + sum(len(name) + len(header) for name, header in headers.items())


def microseconds(call: Callable[[], object], times: int) -> float:
    """Mean of one call."""
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times * 1e6


def sample_chats(count: int) -> list[Arrival[ChatMessage]]:
    """Chats of fifty customers."""
    events = [
        ChatMessage(
            source="bench",
            conversation_id=f"conversation-{n % 50}",
            event_id=f"event-{n}",
            subject_id=f"customer-{n % 50}",
            event_time=NOW,
            ingested_at=NOW,
            role="customer",
            text=TEXT.format(n=n),
        )
        for n in range(count)
    ]
    return [Arrival(event, Position(topic="bench", topic_partition=0, offset=n)) for n, event in enumerate(events)]


def decode_times(passage: OutgoingRecord, times: int) -> tuple[float, float, float]:
    """Microseconds for a passage as it is, with base64 in the value, and without its vector."""
    fields = json.loads(passage.value)
    fields["vector_base64"] = base64.b64encode(passage.headers[VECTOR_HEADER]).decode()
    with_base64 = json.dumps(fields).encode()
    zeros = {VECTOR_HEADER: np.zeros(1, dtype="<f4").tobytes()}

    def from_base64() -> None:
        parsed = decode_artifact(with_base64, zeros)
        check_vector(base64.b64decode((parsed.model_extra or {})["vector_base64"]))

    return (
        microseconds(lambda: decode_artifact(passage.value, passage.headers), times),
        microseconds(from_base64, times),
        microseconds(lambda: decode_artifact(passage.value, zeros), times),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=2000)
    arguments = parser.parse_args()
    settings = load()
    deriver = ChatDeriver(open_embedder(settings), open_redactor(settings), MemoryMemo())
    arrivals = sample_chats(arguments.chats)
    derived = list(outgoing_records(Outcome(deriver.derive(arrivals).artifacts), PSEUDONYMS))
    sizes = {
        "event": [
            record_bytes(sent.event.conversation_key, encode(sent.event), event_headers(sent.event, PSEUDONYMS))
            for sent in arrivals
        ],
        "message": [record_bytes(r.key, r.value, r.headers) for r in derived if VECTOR_HEADER not in r.headers],
        "passage": [record_bytes(r.key, r.value, r.headers) for r in derived if VECTOR_HEADER in r.headers],
    }
    print(f"machine: {describe()}\n\n| record of a chat | bytes, p50 | p99 |\n|---|---|---|")
    for name, found in sizes.items():
        print(f"| {name} | {np.percentile(found, 50):.0f} | {np.percentile(found, 99):.0f} |")
    passage = next(record for record in derived if VECTOR_HEADER in record.headers)
    vector = len(passage.headers[VECTOR_HEADER])
    as_bytes, as_base64, floor = decode_times(passage, arguments.chats)
    print("\n| vector | bytes | decoded, µs | over the floor |\n|---|---|---|---|")
    print(f"| bytes in a header | {vector} | {as_bytes:.0f} | {as_bytes / floor:.2f} |")
    print(f"| base64 in the value | {-(-vector // 3) * 4} | {as_base64:.0f} | {as_base64 / floor:.2f} |")
    print(f"| none (floor) | 0 | {floor:.0f} | 1 |")


if __name__ == "__main__":
    main()
