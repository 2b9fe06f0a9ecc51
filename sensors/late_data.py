"""The sensor ``late_data``: reports rows for closed hours, and reprocesses the hours that the stream left incomplete.

Why not every late row starts a run: docs/adr/0008-late-data.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from assets.checks.hours import SETTLE_S
from assets.partitions import hour_key
from mmplatform.errors import Misconfigured, PlatformError
from mmplatform.events import utc_now
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.modalities import CALL, MODALITIES, ModalitySpec
from quality.checks.completeness import check_events_accounted
from quality.checks.late_data import filled_gap_markers, needs_reprocessing
from resources.lakehouse import LakehouseResource
from resources.readers.hours import HourReader, open_hour_reader
from resources.stack import StackResource, Subscription
from sensors.late_data_hours import LateDataCursor, LateRows, TableHour, WaitingHour, diff_late_hours
from sensors.ticks import SLOW_INTERVAL_S, skip_unreadable

MAX_CHECKED_HOURS: Final = 4
"""Hours for each tick, and no tick starts more runs."""

MAX_CHECK_S: Final = 1.0
"""No further hour is checked after this: a check is three scans, and each begins with the table's metadata."""

_SPECS: Final = {spec.raw_table: spec for spec in MODALITIES.values()}


@dg.sensor(
    name="late_data",
    minimum_interval_seconds=SLOW_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    asset_selection=[spec.derived_table for spec in MODALITIES.values()],
    description=(
        "Reports rows that came for an hour after it had closed. When they have settled it checks what the stream "
        "derived from them; if an event has no artifact, or a gap marker lies over audio that has arrived, the derived "
        f"hour is reprocessed, at most {MAX_CHECKED_HOURS} in a tick and once for each snapshot."
    ),
)
def late_data_sensor(
    context: dg.SensorEvaluationContext, lakehouse: LakehouseResource, stack: StackResource
) -> dg.SensorResult:
    """Report, check and request runs; the skip reason says why there is nothing to do."""
    now = utc_now()
    cursor = LateDataCursor.parse(context.cursor)
    try:
        commits = lakehouse.read_commits({table: cursor.read_sequence(table) for table in _SPECS})
    except PlatformError as error:
        return skip_unreadable("the lakehouse cannot be read", error)
    late_rows, cursor = diff_late_hours(commits, cursor, now)
    settled = cursor.settled(now, MAX_CHECKED_HOURS)
    requests: list[dg.RunRequest] = []
    checked: list[TableHour] = []
    failure = ""
    try:
        checked, requests = _plan_runs(lakehouse, stack, settled, now) if settled else ([], [])
        cursor = cursor.without(checked)
    except Misconfigured:
        raise
    except PlatformError as error:  # late rows are reported all the same, and the hours go on waiting
        failure = f"late hours cannot be checked: {type(error).__name__}: {error}"
        context.log.warning(failure)
    after = cursor.to_json()
    if not late_rows and not requests:
        outcome = f"{len(checked)} late hours were checked, and none is incomplete" if settled else "no row came late"
        return dg.SensorResult(skip_reason=failure or outcome, cursor=after)
    events = [_event(table, rows) for table, rows in late_rows.items()]
    return dg.SensorResult(asset_events=events, run_requests=requests, cursor=after)


def _plan_runs(
    lakehouse: LakehouseResource,
    stack: StackResource,
    settled: Sequence[tuple[str, datetime, WaitingHour]],
    now: datetime,
) -> tuple[list[TableHour], list[dg.RunRequest]]:
    """The hours that were checked, and runs for those that are incomplete and have a partition."""
    deadline = time.monotonic() + MAX_CHECK_S
    reader = open_hour_reader(lakehouse)
    consumed_offsets: Mapping[tuple[str, int], int] = {}
    for table in {table for table, _, _ in settled}:
        # The derivers' offsets come first: what they derive meanwhile is then in the tables that are read.
        subscription = Subscription(_SPECS[table].group, _SPECS[table].topic)
        consumed_offsets = {**consumed_offsets, **stack.committed_offsets(subscription)}
    checked: list[TableHour] = []
    requests = []
    for table, hour, waiting in settled:
        if checked and time.monotonic() >= deadline:
            break
        checked.append((table, hour))
        spec, key = _SPECS[table], hour_key(hour)
        if key is not None and _is_incomplete(reader, spec, hour, consumed_offsets, now):
            asset = spec.derived_table
            requests.append(
                dg.RunRequest(
                    run_key=f"late:{asset}:{key}:{waiting.snapshot_id}",
                    asset_selection=[dg.AssetKey(asset)],
                    partition_key=key,
                    tags={"why": "late_data"},
                )
            )
    return checked, requests


def _is_incomplete(
    reader: HourReader,
    spec: ModalitySpec,
    hour: datetime,
    consumed_offsets: Mapping[tuple[str, int], int],
    now: datetime,
) -> bool:
    positions = ("topic", "topic_partition", "log_offset", "log_generation")
    columns = ("event_id", "event_uid", "kind", "ingested_at", *positions)
    events = reader.rows(spec.raw_table, hour, columns)
    derived_uids = [row["event_uids"] for row in reader.rows_around(spec.derived_table, hour, ["event_uids"])]
    quarantined_uids = reader.quarantined_uids(hour)
    accounted = check_events_accounted(
        events,
        derived_uids=derived_uids,
        quarantined_uids=quarantined_uids,
        consumed_offsets=consumed_offsets,
        settled_before=now - timedelta(seconds=SETTLE_S),
    )
    return needs_reprocessing(accounted, _filled_gap_markers(reader, hour, quarantined_uids) if spec is CALL else [])


def _filled_gap_markers(reader: HourReader, hour: datetime, quarantined_uids: set[str]) -> list[str]:
    """Gap markers of the hour over which audio has arrived that was not quarantined."""
    columns = ["artifact_id", "conversation_id", "start_s", "end_s", "status"]
    gap_markers = [row for row in reader.rows(CALL.derived_table, hour, columns) if row["status"] == "gap"]
    if not gap_markers:
        return []
    calls = sorted({row["conversation_id"] for row in gap_markers})
    columns = ["event_uid", "conversation_id", "start_s", "duration_s"]
    chunks = reader.conversation_rows(CALL.raw_table, hour, calls, columns)
    return filled_gap_markers(gap_markers, [row for row in chunks if row["event_uid"] not in quarantined_uids])


def _event(table: str, late_rows: LateRows) -> dg.AssetObservation:
    first, last = min(late_rows.rows), max(late_rows.rows)
    rows = sum(late_rows.rows.values())
    skipped = late_rows.skipped
    backfill = f"; {skipped} hours are too many to check, start a backfill for them" if skipped else ""
    return dg.AssetObservation(
        table,
        description=f"{rows} rows came for {len(late_rows.rows)} hours that had closed{backfill}",
        metadata={
            "late_rows": dg.MetadataValue.int(rows),
            "late_hours": dg.MetadataValue.int(len(late_rows.rows)),
            "hours_left_out": dg.MetadataValue.int(skipped),
            "first_hour": dg.MetadataValue.timestamp(first),
            "last_hour": dg.MetadataValue.timestamp(last + HOUR - timedelta(seconds=1)),
        },
    )
