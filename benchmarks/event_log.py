"""Measures what a day of the stream costs in Dagster's own database, in rows and bytes, before and after pruning.

    python -m benchmarks.event_log [--ticks 60]

The tables of a real lakehouse get a commit each between two ticks, as many rows as come in 30 s at 10 events a second;
the real ``landings`` sensor is evaluated on them, and what it reports goes into a real Dagster instance on SQLite with
its tick and cursor, as the daemon does it. The other four sensors are written as ticks that have nothing to say, as on
a quiet day. That is a sample: a day is 2,880 ticks, and is the sample's growth times 2,880 / ticks. Only the waiting
between two ticks is left out, and the hour's change, at which a tick tells of two hours.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from benchmarks.machine import describe
from mmplatform.events import Position, utc_now
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from resources.dagster_storage import prune, shrink
from resources.lakehouse import LakehouseResource
from sensors import all_sensors
from sensors.landings import landings_sensor
from sensors.ticks import INTERVAL_S

A_DAY: Final = 86_400 // INTERVAL_S
ROWS: Final = {
    # 10 events/s for 30 s: 240 chats, 50 pieces of calls, 10 screenshots; nothing is quarantined on a good day.
    "raw_chats": 240, "messages": 240, "raw_calls": 50, "transcripts": 12, "raw_screenshots": 10, "captions": 10,
    "passages": 262,
}  # fmt: skip
"""Rows of each table between two ticks."""


def land(lakehouse: Lakehouse, first: int) -> None:
    now = utc_now()
    for table, count in ROWS.items():
        rows = []
        for number in range(first, first + count):
            position = Position(topic="t", topic_partition=0, offset=number)
            row: dict[str, Any] = {SPECS[table].id_column: f"{number:036d}", "subject_id": str(number % 50)}
            rows.append((position, {**row, "event_time": now}))
        lakehouse.append(table, rows, offsets={("t", 0): first + count}, source="archive")


def tick(instance: dg.DagsterInstance, data_dir: Path, cursor: str | None) -> str | None:
    """One evaluation of ``landings``, stored; the other sensors' ticks beside it."""
    resources = {"lakehouse": LakehouseResource(data_dir=str(data_dir))}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
        result = landings_sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert result.asset_events, "rows landed and none was reported"
    for event in result.asset_events:
        instance.report_runless_asset_event(event)
    for sensor in all_sensors():
        is_landings = sensor.name == landings_sensor.name
        instance.create_tick(
            TickData(
                f"origin-{sensor.name}",
                sensor.name,
                InstigatorType.SENSOR,
                TickStatus.SUCCESS if is_landings else TickStatus.SKIPPED,
                time.time(),
                run_ids=[],
                cursor=result.cursor if is_landings else "{}",
                skip_reason=None if is_landings else "nothing has happened since the last tick",
                selector_id=f"selector-{sensor.name}",
            )
        )
    return result.cursor


def rows_and_bytes(instance: dg.DagsterInstance) -> dict[str, tuple[int, int]]:
    """Bytes of each of SQLite's files that grow."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqliteEventLogStorage)
    shrink(instance)  # moves what lies in the logs beside the files over; nothing is free to be given back yet
    counted = sa.select(sa.func.count()).select_from(SqlEventLogStorageTable)
    with storage.index_connection() as index:
        asset_events = index.execute(counted).scalar_one()
    with storage.run_connection("") as runless:
        copies = runless.execute(counted).scalar_one()
    with instance.schedule_storage.connect() as ticks:  # type: ignore[union-attr]
        ticked = ticks.execute(sa.text("select count(*) from job_ticks")).scalar_one()
    files = (Path(storage.path_for_shard("index")), Path(storage.path_for_shard("")))
    schedules = Path(instance.root_directory) / "schedules" / "schedules.db"
    sizes = [path.stat().st_size for path in (*files, schedules)]
    names, rows = ("asset events", "their copies", "ticks"), (asset_events, copies, ticked)
    return {name: (count, size) for name, count, size in zip(names, rows, sizes, strict=True)}


def measure(folder: Path, ticks: int) -> None:
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    lakehouse = Lakehouse.open(load(data_dir=folder))
    lakehouse.ensure_tables()
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        land(lakehouse, 0)
        cursor, elapsed_s = tick(instance, folder, None), []
        before = rows_and_bytes(instance)
        for number in range(1, ticks + 1):
            land(lakehouse, number * 1000)
            began = time.perf_counter()
            cursor = tick(instance, folder, cursor)
            elapsed_s.append(time.perf_counter() - began)
        after = rows_and_bytes(instance)
        print(f"{ticks} ticks measured, a day is {A_DAY}: times {A_DAY / ticks:.1f}\n")
        print("| what | rows of the sample | bytes of the sample | rows a day | MB a day |\n|---|---|---|---|---|")
        total = 0.0
        for name, (rows, size) in after.items():
            more, bytes_more = rows - before[name][0], size - before[name][1]
            day = bytes_more * A_DAY / ticks / 1e6
            total += day
            print(f"| {name} | {more} | {bytes_more} | {more * A_DAY // ticks} | {day:.1f} |")
        print(f"| together | | | | {total:.1f} |\n")
        elapsed_s.sort()
        p50_s, max_s = elapsed_s[len(elapsed_s) // 2], elapsed_s[-1]
        print(f"a tick of landings with what it stores: p50 {p50_s:.2f} s, max {max_s:.2f} s")
        _pruned(instance, utc_now() + timedelta(seconds=1))


def _pruned(instance: dg.DagsterInstance, before: datetime) -> None:
    began = time.perf_counter()
    done = prune(instance, before)
    shrunk = shrink(instance)
    print(
        f"pruned: {done.events} rows with {done.event_bytes} bytes of events in {time.perf_counter() - began:.1f} s; "
        f"files {shrunk.before} → {shrunk.after} bytes (ticks go by `retention`, not here)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=60, help="how many are measured")
    arguments = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments.ticks)


if __name__ == "__main__":
    main()
