"""The sensor ``lineage``: sends lineage of Dagster's own runs: started, succeeded, failed, canceled.

It reads run status changes from Dagster's event log, all four kinds behind one cursor, so that a run's START leaves
before its end. No run waits for it. An event that the backend did not accept is sent again in the next tick: no event
is dropped, for Dagster keeps the log.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from mmplatform.errors import Misconfigured, Permanent, Rejected, Unavailable
from resources.lineage import LineageResource
from sensors.ticks import SLOW_INTERVAL_S

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from mmplatform.lineage.emitter import LineageBackend
    from sensors.lineage_events import LineageContext

MAX_CHANGES: Final = 100
"""Run status changes for each tick: a run of ten steps takes about 22 events."""

MAX_SEND_S: Final = 30.0
"""No change is begun after this: Dagster ends a sensor after 60 s, and the cursor would then be lost."""

STATUS_CHANGES: Final = (
    dg.DagsterEventType.RUN_START,
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)


class LineageCursor(BaseModel):
    """Storage id of the last change that was sent. It lies in Dagster's database."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    after: int

    @classmethod
    def parse(cls, text: str | None) -> LineageCursor | None:
        """Parse a cursor; ``None`` without a readable one."""
        try:
            return cls.model_validate_json(text) if text else None
        except ValidationError:
            return None


@dg.sensor(
    name="lineage",
    minimum_interval_seconds=SLOW_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Sends every run that started or ended to the lineage backend (MMPLATFORM_OPENLINEAGE_URL; empty: files in the "
        "data directory), with what its "
        f"steps read and wrote and the results of their checks, at most {MAX_CHANGES} changes in a tick. It starts no "
        "run and no run waits for it. The stream sends its own landings without it."
    ),
)
def lineage_sensor(context: dg.SensorEvaluationContext, lineage: LineageResource) -> dg.SensorResult:
    """Send the changes since the last tick; the skip reason says why there is nothing to send."""
    try:
        if not lineage.is_configured():
            return dg.SensorResult(skip_reason="MMPLATFORM_OPENLINEAGE_URL is `off`: lineage is not sent")
        cursor = LineageCursor.parse(context.cursor)
        if cursor is None:
            start = LineageCursor(after=newest_change_id(context.instance)).model_dump_json()
            return dg.SensorResult(skip_reason="begins here: earlier runs are not sent", cursor=start)
        changes = read_changes(context.instance, cursor.after)
        if not changes:
            return dg.SensorResult(skip_reason="no run started or ended since the last tick")
        backend = lineage.open()
    except Misconfigured:
        raise
    except Permanent as error:
        return dg.SensorResult(skip_reason=f"lineage cannot be sent: {error}")
    try:
        return _send_changes(context, backend, lineage, changes, cursor)
    finally:
        backend.close()


def newest_change_id(instance: dg.DagsterInstance) -> int:
    """The storage id of the latest change; 0 where no run ever started."""
    latest = [instance.fetch_run_status_changes(kind, limit=1).records for kind in STATUS_CHANGES]
    return max((record.storage_id for records in latest for record in records), default=0)


def read_changes(instance: dg.DagsterInstance, after: int, limit: int = MAX_CHANGES) -> list[dg.EventLogRecord]:
    """The oldest changes behind a storage id, in their order."""
    changes: list[dg.EventLogRecord] = []
    for kind in STATUS_CHANGES:
        records_filter = dg.RunStatusChangeRecordsFilter(event_type=kind, after_storage_id=after)
        changes += instance.fetch_run_status_changes(records_filter, limit=limit, ascending=True).records
    return sorted(changes, key=lambda record: record.storage_id)[:limit]


def _send_changes(
    context: dg.SensorEvaluationContext,
    backend: LineageBackend,
    lineage: LineageResource,
    changes: Sequence[dg.EventLogRecord],
    cursor: LineageCursor,
) -> dg.SensorResult:
    """Send change by change; the cursor stops before the first change that the backend did not accept."""
    lineage_context, deadline = _lineage_context(lineage), time.monotonic() + MAX_SEND_S
    sent, refused = 0, 0
    remainder = ""
    for change in changes:
        if time.monotonic() >= deadline:
            remainder = f"; the rest waits, this took {MAX_SEND_S:.0f} s"
            break
        try:
            for event in _new_events(context, change, lineage_context):
                try:
                    backend.send(event)
                    sent += 1
                except Rejected as error:  # it would be refused again, and block all that follow
                    refused += 1
                    context.log.warning("refused: %s", error)
        except Unavailable as error:
            remainder = f"; the rest waits: {error}"
            break
        except Exception as error:  # noqa: BLE001 - one run without lineage must not block the next
            context.log.warning("run %s has no lineage: %s", change.run_id, type(error).__name__)
        cursor = LineageCursor(after=change.storage_id)
    outcome = f"sent {sent} events, {refused} refused{remainder}"
    return dg.SensorResult(skip_reason=outcome, cursor=cursor.model_dump_json())


def _new_events(
    context: dg.SensorEvaluationContext, change: dg.EventLogRecord, lineage_context: LineageContext
) -> Iterator[RunEvent]:
    """The events of a change: a run's START, or all that came after it."""
    from sensors.lineage_events import EVENT_TYPES, run_events

    run = context.instance.get_run_by_id(change.run_id)
    if run is None or not _in_same_location(run, context):  # deleted meanwhile, or of another code location
        return
    log = context.instance.all_logs(change.run_id, of_type=set(EVENT_TYPES))
    events = run_events(run, log, lineage_context)
    kind = change.event_log_entry.get_dagster_event().event_type
    if kind == dg.DagsterEventType.RUN_START:
        yield from events[:1]
        return
    started = any(entry.get_dagster_event().event_type == dg.DagsterEventType.RUN_START for entry in log)
    yield from events[1:] if started else events


def _in_same_location(run: dg.DagsterRun, context: dg.SensorEvaluationContext) -> bool:
    """False for runs of other code locations of one Dagster, where the name of an asset may mean something else."""
    if run.remote_job_origin is None or context.code_location_origin is None:
        return True
    location = run.remote_job_origin.repository_origin.code_location_origin.location_name
    return bool(location == context.code_location_origin.location_name)


def _lineage_context(lineage: LineageResource) -> LineageContext:
    from mmplatform.lineage.facets import own_code_version
    from sensors.lineage_events import LineageContext

    return LineageContext(lineage.settings().openlineage_namespace, lineage.datasets(), own_code_version())
