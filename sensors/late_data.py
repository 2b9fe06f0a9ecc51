"""The sensor that looks at hours which got rows after they had closed, and has made again what the stream still owes.

Why not every late row asks for a run: docs/adr/0008-late-data.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from assets.checks.hour_checks import SETTLED_S
from assets.partitions import hour_key
from mmplatform.errors import PlatformError
from mmplatform.events import utc_now
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.modalities import CALL, MODALITIES, ModalitySpec
from quality.checks.completeness import accounted
from quality.checks.late_data import owes, unfilled
from resources.lakehouse import LakehouseResource
from resources.readers.hours import Hours, open_hours
from resources.stack import Reader, StackResource
from sensors.late_data_hours import Cursor, Late, Waiting, arrived

EVERY_S: Final = 60
MOST_LOOKED: Final = 4
"""Hours for each tick, and no tick starts more runs."""

LOOK_S: Final = 1.0
"""No further hour is begun after this: a look is three scans, and each begins with the table's metadata."""

_SPECS: Final = {spec.raw_table: spec for spec in MODALITIES.values()}


@dg.sensor(
    name="late_data",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    asset_selection=[spec.derived_table for spec in MODALITIES.values()],
    description=(
        "Reports rows that came for an hour after it had closed. When they have settled it looks whether the stream "
        "made of them what it should; if an event became nothing, or a mark of missing audio stands although the audio "
        f"is there, the derived hour is made again, at most {MOST_LOOKED} in a tick and once for each snapshot."
    ),
)
def late_sensor(
    context: dg.SensorEvaluationContext, lakehouse: LakehouseResource, stack: StackResource
) -> dg.SensorResult:
    """Report, look and ask for runs; says why when there is nothing to do."""
    now = utc_now()
    cursor = Cursor.parse(context.cursor)
    try:
        logs = lakehouse.logs({table: cursor.after(table) for table in _SPECS})
    except PlatformError as error:
        return dg.SensorResult(skip_reason=f"the lakehouse cannot be read: {type(error).__name__}: {error}")
    found, cursor = arrived(logs, cursor, now)
    settled = cursor.settled(now, MOST_LOOKED)
    requests: list[dg.RunRequest] = []
    looked_at: list[tuple[str, datetime]] = []
    trouble = ""
    try:
        looked_at, requests = _owed(lakehouse, stack, settled, now) if settled else ([], [])
        cursor = cursor.without(looked_at)
    except PlatformError as error:  # what came is told all the same, and the hours go on waiting
        trouble = f"late hours cannot be looked at: {type(error).__name__}: {error}"
        context.log.warning(trouble)
    told = cursor.model_dump_json()
    if not found and not requests:
        looked = f"{len(looked_at)} late hours were looked at, and nothing is owed" if settled else "no row came late"
        return dg.SensorResult(skip_reason=trouble or looked, cursor=told)
    events = [_event(table, late) for table, late in found.items()]
    return dg.SensorResult(asset_events=events, run_requests=requests, cursor=told)


def _owed(
    lakehouse: LakehouseResource, stack: StackResource, settled: list[tuple[str, datetime, Waiting]], now: datetime
) -> tuple[list[tuple[str, datetime]], list[dg.RunRequest]]:
    """The hours that were looked at, and runs for those that are owed something and have a partition."""
    give_up = time.monotonic() + LOOK_S
    hours = open_hours(lakehouse)
    done: Mapping[tuple[str, int], int] = {}
    for table in {table for table, _, _ in settled}:
        # How far the derivers are, first: what they do meanwhile is then still in the tables that are read.
        done = {**done, **stack.done(Reader(_SPECS[table].group, _SPECS[table].topic))}
    looked_at: list[tuple[str, datetime]] = []
    found = []
    for table, hour, waiting in settled:
        if looked_at and time.monotonic() >= give_up:
            break
        looked_at.append((table, hour))
        spec, key = _SPECS[table], hour_key(hour)
        if key is not None and _is_owed(hours, spec, hour, done, now):
            asset = spec.derived_table
            found.append(
                dg.RunRequest(
                    run_key=f"late:{asset}:{key}:{waiting.snapshot_id}",
                    asset_selection=[dg.AssetKey(asset)],
                    partition_key=key,
                    tags={"why": "late_data"},
                )
            )
    return looked_at, found


def _is_owed(
    hours: Hours, spec: ModalitySpec, hour: datetime, done: Mapping[tuple[str, int], int], now: datetime
) -> bool:
    settled = now - timedelta(seconds=SETTLED_S)
    columns = ("event_id", "kind", "ingested_at", "topic", "topic_partition", "log_offset")
    events = hours.rows(spec.raw_table, hour, columns)
    derived = [row["event_ids"] for row in hours.around(spec.derived_table, hour, ["event_ids"])]
    aside = hours.aside(hour)
    verdict = accounted(events, derived=derived, aside=aside, done=done, settled=settled)
    return owes(verdict, _standing(hours, hour, aside) if spec is CALL else [])


def _standing(hours: Hours, hour: datetime, aside: set[str]) -> list[str]:
    """Marks of missing audio in the hour over which there is audio that nobody refused."""
    marks = [
        row
        for row in hours.rows(
            CALL.derived_table, hour, ["artifact_id", "conversation_id", "start_s", "end_s", "status"]
        )
        if row["status"] == "gap"
    ]
    if not marks:
        return []
    calls = sorted({row["conversation_id"] for row in marks})
    chunks = hours.call_rows(CALL.raw_table, hour, calls, ["event_id", "conversation_id", "start_s", "duration_s"])
    return unfilled(marks, [row for row in chunks if row["event_id"] not in aside])


def _event(table: str, late: Late) -> dg.AssetObservation:
    first, last = min(late.rows), max(late.rows)
    rows = sum(late.rows.values())
    told = f"; {late.left_out} hours are too many to look at, start a backfill for them" if late.left_out else ""
    return dg.AssetObservation(
        table,
        description=f"{rows} rows came for {len(late.rows)} hours that had closed{told}",
        metadata={
            "late_rows": dg.MetadataValue.int(rows),
            "late_hours": dg.MetadataValue.int(len(late.rows)),
            "hours_left_out": dg.MetadataValue.int(late.left_out),
            "first_hour": dg.MetadataValue.timestamp(first),
            "last_hour": dg.MetadataValue.timestamp(last + HOUR - timedelta(seconds=1)),
        },
    )
