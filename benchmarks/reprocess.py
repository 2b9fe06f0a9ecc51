"""Measures what reprocessing an hour keeps of the bare models' speed, for each modality, in one run.

    python -m benchmarks.reprocess [--chats 1500] [--screenshots 12] [--calls 1] [--rounds 3]

Reprocessing: ``reprocess`` over real stores (Iceberg on SQLite, a Chroma server, blobs), as the shell and a Dagster run
call it: read what is held and the raw rows, derive, replace in three tables, match the index. The models are open
(how long that took is printed), the memo knows nothing, the hour has raw rows and nothing derived: all is written.
Bare: exactly the model calls of that work, made again in a plain loop in this process, before and behind each round;
the mean of both, so that a neighbour's load weighs on both alike. At last the hour once more, which the memo answers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from benchmarks.efficiency import events_of, record_calls, replayed_seconds, running
from benchmarks.machine import describe
from mmplatform.events import Event, Modality, Position
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.local.services.port_leases import any_free_port
from mmplatform.modalities import MODALITIES, ModalitySpec
from mmplatform.pipeline.reprocess.inputs import open_inputs
from mmplatform.pipeline.reprocess.reprocess import reprocess
from mmplatform.settings import Settings, load
from mmplatform.telemetry.logs import configure_logging

HOUR = datetime(2026, 8, 1, 10, tzinfo=UTC)
READY_S = 60.0


def wait_for_answer(url: str) -> None:
    """Until somebody answers there."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit(f"{url} does not answer: nothing was measured")


def within_the_hour(events: Sequence[Event]) -> list[Event]:
    """The events in their order, five minutes into the hour."""
    first = min(event.event_time for event in events)
    moved = HOUR + timedelta(minutes=5) - first
    return [
        event.model_copy(update={"event_time": event.event_time + moved, "ingested_at": event.ingested_at + moved})
        for event in events
    ]


def land_raw(settings: Settings, spec: ModalitySpec, events: Sequence[Event]) -> None:
    """As the archiver leaves them."""
    from mmplatform.land.lakehouse.store import Lakehouse

    lakehouse = Lakehouse.open(settings)
    lakehouse.ensure_tables()
    positions = [Position(topic=spec.topic, topic_partition=0, offset=number) for number in range(len(events))]
    rows = [(position, record_to_row(event, position)[1]) for position, event in zip(positions, events, strict=True)]
    lakehouse.append(spec.raw_table, rows, offsets={(spec.topic, 0): len(rows)}, source="benchmark")


def reprocessing_seconds(settings: Settings, spec: ModalitySpec) -> tuple[float, float, float]:
    """Seconds to open models and stores, for the hour, and for the hour once more."""
    started = time.perf_counter()
    with open_inputs(settings, spec) as parts:
        opened = time.perf_counter()
        summary = reprocess(spec.derived_table, HOUR, parts)
        done = time.perf_counter()
        assert summary.tables[spec.derived_table].added
        assert summary.upserted == summary.tables["passages"].added
        assert not reprocess(spec.derived_table, HOUR, parts).changed
        return opened - started, done - opened, time.perf_counter() - done


def measure(modality: Modality, count: int, rounds: int, chroma: str, folder: Path) -> None:
    """Print one line."""
    spec = MODALITIES[modality]
    found: list[tuple[float, float, float, float, float]] = []
    for number in range(rounds):
        settings = load(data_dir=folder / f"{modality}-{number}", chroma_url=chroma)
        blobs = open_blobs(settings)
        events = within_the_hour(events_of(modality, count, blobs, 1 + number * 1000))
        land_raw(settings, spec, events)
        calls = record_calls(modality, events, settings, blobs)
        before = sum(replayed_seconds(calls).values())
        opened, full, again = reprocessing_seconds(settings, spec)
        bare = (before + sum(replayed_seconds(calls).values())) / 2
        found.append((bare, full, bare / full, opened, again))
    bare, full, ratio, opened, again = (statistics.median(column) for column in zip(*found, strict=True))
    ratios = [column[2] for column in found]
    print(
        f"{modality:<12}{count:>8}{bare:>9.2f}{full:>13.2f}{ratio:>21.2f}"
        f"{min(ratios):>8.2f}{max(ratios):>8.2f}{opened:>10.1f}{again:>12.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=1500)
    parser.add_argument("--screenshots", type=int, default=12)
    parser.add_argument("--calls", type=int, default=1, help="the sample call of 90 s, so many times")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    configure_logging(load(log_level="warning"), worker="benchmark")
    counts: dict[Modality, int] = {
        "chat": arguments.chats,
        "screenshot": arguments.screenshots,
        "call": arguments.calls,
    }
    print(f"machine: {describe()}")
    print(
        f"{'modality':<12}{'inputs':>8}{'bare s':>9}{'reprocess s':>13}{'reprocess/bare p50':>21}{'min':>8}{'max':>8}"
        f"{'opening s':>10}{'once more s':>12}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), any_free_port()
        chroma = str(Path(sys.executable).with_name("chroma"))
        command = [chroma, "run", "--path", f"{name}/chroma", "--host", "127.0.0.1", "--port", str(port)]
        with running(command, load(data_dir=folder)):
            wait_for_answer(f"http://127.0.0.1:{port}/api/v2/heartbeat")
            for modality, count in counts.items():
                if count:
                    measure(modality, count, arguments.rounds, f"http://127.0.0.1:{port}", folder)


if __name__ == "__main__":
    main()
