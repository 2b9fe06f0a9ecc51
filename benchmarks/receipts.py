"""Milliseconds of a receipt, and of a wake of the fence, by what a gateway remembers.

    python -m benchmarks.receipts [--partitions 16] [--pending 100000] [--waits 500] [--repeats 300]

Everything is in memory, as in a gateway: progress of each topic partition of three modalities, pending events of many
subjects and of one that has a tenth of them, and searches that wait. Nothing is read from a broker.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from benchmarks.machine import describe
from mmplatform.events import Position
from mmplatform.modalities import CALL, MODALITIES
from mmplatform.progress import EventSource, OpenCall, Progress
from mmplatform.retrieve.receipt.derivation_progress import DerivationProgress
from mmplatform.retrieve.receipt.fence import Bound, Fence
from mmplatform.retrieve.receipt.pending_events import LoggedEvent, PendingEvents
from mmplatform.retrieve.receipt.receipt import ReceiptBook
from quality.quantiles import quantiles

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
BUSY: Final = "subject-0"
_SUBJECTS: Final = 5_000
_OPEN_CALLS: Final = 200


def filled(partitions: int, pending: int) -> tuple[ReceiptBook, PendingEvents]:
    """A book over progress and pending events."""
    progress, events = DerivationProgress(), PendingEvents()
    outputs = dict.fromkeys(range(partitions), 10)
    sources = [EventSource(spec.topic, number) for spec in MODALITIES.values() for number in range(partitions)]
    for source in sources:
        calls = _open_calls(source) if source.topic == CALL.topic else ()
        progress.observe(
            Progress(
                topic=source.topic,
                topic_partition=source.topic_partition,
                next_offset=0,
                complete_until=NOON,
                outputs=outputs,
                source_partitions=partitions,
                open_calls=calls,
                open_call_count=len(calls),
            ),
            time.monotonic(),
        )
        events.begin(source, (0, 0))
        events.reach_end(source)
    for number in range(pending):
        subject = BUSY if number % 10 == 0 else f"subject-{number % _SUBJECTS}"
        source = sources[number % len(sources)]
        moment = NOON + timedelta(milliseconds=number)
        events.add(source, LoggedEvent((0, number // len(sources)), subject, moment))
    return ReceiptBook(progress, events, lambda: outputs, lambda key: key), events


def _open_calls(source: EventSource) -> tuple[OpenCall, ...]:
    return tuple(
        OpenCall(conversation_key=f"default//call-{source.topic_partition}-{n}", subjects=(f"subject-{n}",), since=NOON)
        for n in range(_OPEN_CALLS)
    )


def line(name: str, call: Callable[[], Any], repeats: int) -> str:
    """A row of the table."""
    milliseconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        milliseconds.append(1000 * (time.perf_counter() - started))
    found = quantiles(milliseconds, (0.5, 0.95, 0.99))
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in found) + " |"


async def measure(arguments: argparse.Namespace) -> None:
    """Print the table."""
    book, events = filled(arguments.partitions, arguments.pending)
    fence = Fence(book.derived, events)
    topics = [spec.topic for spec in MODALITIES.values()]
    positions = [Position(topic=topics[0], topic_partition=0, offset=10**9)]
    waits = [
        asyncio.create_task(fence.wait(Bound(positions, NOON + timedelta(hours=1), f"subject-{n}", topics), 600))
        for n in range(arguments.waits)
    ]
    await asyncio.sleep(0)
    print("| | p50, ms | p95, ms | p99, ms |\n|---|---|---|---|")
    print(line("an empty function", lambda: None, arguments.repeats))
    print(line("a receipt of a subject", lambda: book.receipt("subject-1"), arguments.repeats))
    print(line("a receipt of a subject with a tenth of all events", lambda: book.receipt(BUSY), arguments.repeats))
    print(line("a receipt over all", lambda: book.receipt(None), arguments.repeats))
    print(line(f"a wake of {fence.waits} waits", fence.check_waits, arguments.repeats))
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=16, help="topic partitions of each topic")
    parser.add_argument("--pending", type=int, default=100_000, help="events that are not derived")
    parser.add_argument("--waits", type=int, default=500, help="searches that wait")
    parser.add_argument("--repeats", type=int, default=300)
    print(f"machine: {describe()}")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
