"""The sensor that tells lineage of Dagster's own runs: started, succeeded, failed, canceled.

It reads run status changes from Dagster's event log, all four kinds behind one cursor, so that a run's START leaves
before its end. It is not in the way of any run. An event that the backend did not take is sent again in the next tick:
nothing is dropped here, for Dagster keeps the log.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from mmplatform.errors import Permanent, Rejected, Unavailable
from resources.lineage import LineageResource

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from mmplatform.lineage.emitter import LineageBackend
    from sensors.lineage_events import Words

EVERY_S: Final = 30
MOST: Final = 100
"""Run status changes for each tick: a run of ten steps takes about 22 events."""

SEND_S: Final = 30.0
"""No change is begun after this: Dagster ends a sensor after 60 s, and would then forget how far it was."""

CHANGES: Final = (
    dg.DagsterEventType.RUN_START,
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)


class Cursor(BaseModel):
    """How far the changes were told: the storage id of the last one. It lies in Dagster's database."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    after: int

    @classmethod
    def parse(cls, text: str | None) -> Cursor | None:
        """Read it; ``None`` where there is none that can be read."""
        try:
            return cls.model_validate_json(text) if text else None
        except ValidationError:
            return None


@dg.sensor(
    name="lineage",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Tells the lineage backend (MMPLATFORM_OPENLINEAGE_URL) of every run that started or ended, with what its "
        f"steps read and wrote and what their checks found, at most {MOST} changes in a tick. It starts nothing and no "
        "run waits for it. The stream tells of its own landings without it."
    ),
)
def lineage_sensor(context: dg.SensorEvaluationContext, lineage: LineageResource) -> dg.SensorResult:
    """Tell of what changed since the last tick; says why when there is nothing to tell."""
    try:
        if not lineage.wanted():
            return dg.SensorResult(skip_reason="MMPLATFORM_OPENLINEAGE_URL is empty: lineage goes nowhere")
        cursor = Cursor.parse(context.cursor)
        if cursor is None:
            begin = Cursor(after=newest(context.instance)).model_dump_json()
            return dg.SensorResult(skip_reason="begins here: earlier runs are not told of", cursor=begin)
        found = changes(context.instance, cursor.after)
        if not found:
            return dg.SensorResult(skip_reason="no run started or ended since the last tick")
        backend = lineage.open()
    except Permanent as error:
        return dg.SensorResult(skip_reason=f"lineage cannot be sent: {error}")
    try:
        return _tell(context, backend, lineage, found, cursor)
    finally:
        backend.close()


def newest(instance: dg.DagsterInstance) -> int:
    """The storage id of the latest change; 0 where no run ever started."""
    found = [instance.fetch_run_status_changes(kind, limit=1).records for kind in CHANGES]
    return max((record.storage_id for records in found for record in records), default=0)


def changes(instance: dg.DagsterInstance, after: int, most: int = MOST) -> list[dg.EventLogRecord]:
    """The oldest changes behind a storage id, in their order."""
    found: list[dg.EventLogRecord] = []
    for kind in CHANGES:
        asked = dg.RunStatusChangeRecordsFilter(event_type=kind, after_storage_id=after)
        found += instance.fetch_run_status_changes(asked, limit=most, ascending=True).records
    return sorted(found, key=lambda record: record.storage_id)[:most]


def _tell(
    context: dg.SensorEvaluationContext,
    backend: LineageBackend,
    lineage: LineageResource,
    found: Sequence[dg.EventLogRecord],
    cursor: Cursor,
) -> dg.SensorResult:
    """Send change by change; the cursor goes as far as the backend came along."""
    words, give_up = _words(lineage), time.monotonic() + SEND_S
    sent, refused, done = 0, 0, cursor
    trouble = ""
    for change in found:
        if time.monotonic() >= give_up:
            trouble = f"; the rest waits, this took {SEND_S:.0f} s"
            break
        try:
            for event in _events(context, change, words):
                try:
                    backend.send(event)
                    sent += 1
                except Rejected as error:  # it would be refused again, and hold up all that follow
                    refused += 1
                    context.log.warning("refused: %s", error)
        except Unavailable as error:
            trouble = f"; the rest waits: {error}"
            break
        except Exception as error:  # noqa: BLE001 - a run that we cannot tell of must not hide the next
            context.log.warning("run %s cannot be told of: %s", change.run_id, type(error).__name__)
        done = Cursor(after=change.storage_id)
    told = f"told of {sent} events, {refused} refused{trouble}"
    return dg.SensorResult(skip_reason=told, cursor=done.model_dump_json())


def _events(context: dg.SensorEvaluationContext, change: dg.EventLogRecord, words: Words) -> Iterator[RunEvent]:
    """What is new with a change: a run's START, or all that came after it."""
    from sensors.lineage_events import READ, lineage_of

    run = context.instance.get_run_by_id(change.run_id)
    if run is None or not _is_ours(run, context):  # deleted meanwhile, or of another code location
        return
    log = context.instance.all_logs(change.run_id, of_type=set(READ))
    events = lineage_of(run, log, words)
    kind = change.event_log_entry.get_dagster_event().event_type
    if kind == dg.DagsterEventType.RUN_START:
        yield from events[:1]
        return
    started = any(entry.get_dagster_event().event_type == dg.DagsterEventType.RUN_START for entry in log)
    yield from events[1:] if started else events


def _is_ours(run: dg.DagsterRun, context: dg.SensorEvaluationContext) -> bool:
    """Several code locations may share one Dagster, and one name of an asset may then mean two things."""
    if run.remote_job_origin is None or context.code_location_origin is None:
        return True
    theirs = run.remote_job_origin.repository_origin.code_location_origin.location_name
    return bool(theirs == context.code_location_origin.location_name)


def _words(lineage: LineageResource) -> Words:
    from mmplatform.lineage.facets import own_code_version
    from sensors.lineage_events import Words

    return Words(lineage.settings().openlineage_namespace, lineage.datasets(), own_code_version())
