"""Measures what a tick of each sensor takes, with a history of hourly partitions behind it.

    python -m benchmarks.sensors [--hours 1000] [--passages 100000] [--ticks 30] [--only late_data]

A real lakehouse in files, the embedded broker, a Chroma server, an index worker's status page and a Dagster instance on
SQLite. First the whole history is told, tick by tick, as after an import. Then each tick has news in every table and in
the index. A tick is the evaluation and the storing of what it reports, as Dagster's daemon does one after the other.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import dagster as dg

from assets import all_specs
from benchmarks.machine import describe
from benchmarks.replay_log import broker
from definitions import defs
from mmplatform.buckets import BUCKET_NAMES, collection_name
from mmplatform.errors import Unavailable
from mmplatform.events import Position, utc_now
from mmplatform.land.index.chroma_client import connect
from mmplatform.land.lakehouse.schemas import SPECS, TableSpec
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.local import run_file
from mmplatform.modalities import ARCHIVE_GROUP, TABLES
from mmplatform.settings import Settings
from mmplatform.telemetry.freshness import FreshnessTracker, Quantiles
from mmplatform.telemetry.status_server import WorkerStatus, serve_status
from resources.alerts import AlertsResource
from resources.lakehouse import LakehouseResource
from resources.lineage import LineageResource
from resources.stack import StackResource
from sensors.complete_up_to import complete_up_to_sensor
from sensors.freshness_breach import freshness_breach_sensor
from sensors.index_landings import index_landings_sensor
from sensors.lag import lag_sensor
from sensors.landings import landings_sensor
from sensors.late_data import late_data_sensor
from sensors.late_data_hours import SETTLE_DELAY
from sensors.lineage import lineage_sensor
from sensors.quarantine import quarantine_sensor

SENSORS: Final[dict[str, Callable[..., Any]]] = {
    "landings": landings_sensor,
    "index_landings": index_landings_sensor,
    "late_data": late_data_sensor,
    "lag": lag_sensor,
    "complete_up_to": complete_up_to_sensor,
    "freshness_breach": freshness_breach_sensor,
    "quarantine": quarantine_sensor,
    "lineage": lineage_sensor,
}
HOUR: Final = timedelta(hours=1)
ROWS: Final = 50
"""In each commit of a live tick: the archiver's 15 s at 3 events a second."""

DIMENSIONS: Final = 8
"""Dimension of the vectors: no sensor reads one."""

_PAGE: Final = 2_000
_EMPTY: Final[dict[str, Any]] = {"long": 0, "double": 0.0, "boolean": False, "list<string>": [], "list<float>": [1.0]}


def row(spec: TableSpec, number: int, event_time: datetime) -> dict[str, Any]:
    """A row of any table; what no sensor reads is empty."""
    found = {name: _EMPTY.get(kind, "x") for name, kind in spec.columns}
    times = {name: event_time + timedelta(seconds=1) for name, kind in spec.columns if kind == "timestamptz"}
    named = {spec.id_column: f"{spec.name}-{number}", "subject_id": f"subject-{number}", "log_offset": number}
    return {**found, **times, "event_time": event_time, **named}


def land(lakehouse: Lakehouse, table: str, first: int, times: Sequence[datetime]) -> None:
    """One commit."""
    rows = [
        (Position(topic=table, topic_partition=0, offset=first + n), row(SPECS[table], first + n, event_time))
        for n, event_time in enumerate(times)
    ]
    lakehouse.append(table, rows, offsets={(table, 0): first + len(times)}, source=ARCHIVE_GROUP)


class Index:
    """A Chroma server full of passages, and what a worker would count of them."""

    def __init__(self, settings: Settings, status: WorkerStatus) -> None:
        self._client = connect(settings)
        self._status = status
        self._count = 0

    def fill(self, passages: int) -> None:
        """So many more, spread over the buckets."""
        share = passages // len(BUCKET_NAMES)
        for bucket in BUCKET_NAMES:
            found = self._client.get_or_create_collection(
                collection_name("bench@1", bucket),
                embedding_function=None,
            )
            for start in range(0, share, _PAGE):
                count = min(_PAGE, share - start)
                vectors: Any = [[float(n % 97), *[1.0] * (DIMENSIONS - 1)] for n in range(count)]
                found.add(ids=[f"p{self._count + n}" for n in range(count)], embeddings=vectors)
                self._count += count

    def add(self, passages: int) -> None:
        """News, as the worker counts them."""
        self.fill(passages)
        counts = self._status.buckets
        assert counts is not None
        for number in range(passages):
            counts.record_upsert(f"subject-{number}", utc_now(), 0.4)


@contextmanager
def stack(folder: Path) -> Iterator[tuple[Settings, Index]]:
    """Log, index and index worker, as the run file of a running stack names them."""
    with broker(folder) as (given, _, _), chroma(folder) as address:
        settings = given.model_copy(update={"chroma_url": address})
        status = WorkerStatus("index", freshness=FreshnessTracker())
        server = serve_status(status, 0)
        lock = run_file.StackLock(folder)
        lock.acquire()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        found = run_file.StackRun(
            pid=os.getpid(),
            started_at=utc_now(),
            data_dir=str(folder),
            gateway="",
            kafka=settings.kafka_bootstrap_servers,
            chroma=address,
            dagster="",
            services={"index": run_file.ServiceRun(pid=1, state="ready", restarts=0, metrics_url=url, log="")},
        )
        run_file.write(folder, found)
        try:
            yield settings, Index(settings, status)
        finally:
            lock.release()
            server.shutdown()


@contextmanager
def chroma(folder: Path) -> Iterator[str]:
    """A server of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("chroma")
    with (folder / "chroma.log").open("wb") as log:
        command = [str(program), "run", "--path", str(folder / "chroma"), "--host", "127.0.0.1", "--port", str(port)]
        child = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _answering(address)
            yield address
        finally:
            child.terminate()
            child.wait(20)


def _answering(address: str) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            connect(Settings(chroma_url=address)).heartbeat()
        except Unavailable:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return


class Tick(NamedTuple):
    """Seconds of the evaluation alone, which Dagster ends after 60 s, and with the storing of so many events."""

    evaluated: float
    stored: float
    events: int


class Ticks:
    """Evaluates sensors one after the other, each with its own cursor, and stores what they report."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        own = str(folder)
        self._instance = instance
        self._resources = {
            "lakehouse": LakehouseResource(data_dir=own),
            "stack": StackResource(data_dir=own),
            "alerts": AlertsResource(data_dir=own),
            "lineage": LineageResource(data_dir=own),
        }
        self._cursors: dict[str, str | None] = {}

    def tick(self, name: str) -> Tick:
        """One evaluation, and the storing of its events."""
        began = time.perf_counter()
        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursors.get(name), resources=self._resources, definitions=defs
        ) as context:
            result = SENSORS[name](context)
        evaluated = time.perf_counter() - began
        events = result.asset_events or []
        for event in events:
            self._instance.report_runless_asset_event(event)
        self._cursors[name] = result.cursor or self._cursors.get(name)
        return Tick(evaluated, time.perf_counter() - began, len(events))


def main() -> None:
    """Print what the docs claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=1_000)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--ticks", type=int, default=30)
    parser.add_argument("--only", choices=SENSORS, nargs="*", default=list(SENSORS), help="of these sensors")
    arguments = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as name, stack(Path(name)) as (settings, index):
        folder, dagster = Path(name), Path(name) / "dagster"
        dagster.mkdir()
        lakehouse = Lakehouse.open(settings)
        lakehouse.ensure_tables()
        now = utc_now().replace(minute=0, second=0, microsecond=0)
        for table in TABLES:
            land(lakehouse, table, 0, [now - HOUR * number for number in range(arguments.hours)])
        index.fill(arguments.passages)
        with dg.DagsterInstance.local_temp(str(dagster)) as instance:
            ticks = Ticks(instance, folder)
            import_ticks = arguments.hours // 100 + 2 if "landings" in arguments.only else 0
            first_ticks = [ticks.tick("landings") for _ in range(import_ticks)]
            first_ticks = [ticks_of_sensor for ticks_of_sensor in first_ticks if ticks_of_sensor.events]
            live = _live(ticks, lakehouse, index, arguments)
            parts = {spec.key: len(instance.get_materialized_partitions(spec.key)) for spec in all_specs()}
    print(f"{len(parts)} assets, {sum(parts.values())} materialized partitions, {arguments.passages} passages\n")
    print("| sensor | ticks | events in one | p50 | p95 | p99 | max | of it evaluation, p95 |")
    print("|---|---|---|---|---|---|---|---|")
    _print("landings, an import", first_ticks)
    for sensor, ticks_of_sensor in live.items():
        _print(sensor, ticks_of_sensor)


def _live(ticks: Ticks, lakehouse: Lakehouse, index: Index, arguments: argparse.Namespace) -> dict[str, list[Tick]]:
    """Ticks with news in every table and bucket; the first of each sensor is no live one and is not counted."""
    found: dict[str, list[Tick]] = {name: [] for name in arguments.only}
    if late_data_sensor.name in found:
        time.sleep(SETTLE_DELAY.total_seconds())  # then each tick has late hours to look at
    for number in range(arguments.ticks + 1):
        for table in TABLES:
            land(lakehouse, table, arguments.hours + number * ROWS, [utc_now()] * ROWS)
        index.add(ROWS)
        for name in arguments.only:
            elapsed_s = ticks.tick(name)
            if number:
                found[name].append(elapsed_s)
    return found


def _print(name: str, ticks: Sequence[Tick]) -> None:
    found, own = (Quantiles.from_seconds(tick[column] for tick in ticks) for column in (1, 0))
    if found is None or own is None:
        return
    figures = " | ".join(f"{value:.2f}" for value in (found.p50, found.p95, found.p99, found.max, own.p95))
    print(f"| {name} | {found.count} | {max(tick.events for tick in ticks)} | {figures} |")


if __name__ == "__main__":
    main()
