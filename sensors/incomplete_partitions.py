"""The sensor ``incomplete_partitions``: starts runs of raw hours and of buckets of which a check found something lost.

It reads no store: the checks ``completeness`` of the raw tables and of ``index`` name in their metadata the partitions
that a run would complete. A run that does not help is not repeated on the same day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import dagster as dg
from pydantic import Field

from assets.checks.completeness import COMPLETENESS
from assets.index import INDEX
from mmplatform.modalities import CHAT, MODALITIES
from quality.checks.result import INCOMPLETE_PARTITIONS
from sensors.cursors import SensorCursor

if TYPE_CHECKING:
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

INTERVAL_S: Final = 60
MAX_RUNS: Final = 4
"""Runs of one tick. The others follow with the next evaluation of their check, which still fails."""

_ASSETS: Final = (*(spec.raw_table for spec in MODALITIES.values()), CHAT.derived_table, INDEX)
_KEYS: Final = {name: dg.AssetCheckKey(dg.AssetKey(name), COMPLETENESS) for name in _ASSETS}


class IncompletePartitionsCursor(SensorCursor):
    """The last evaluation that was read, by asset: its run and time, as Dagster numbers its records."""

    version: Literal[1] = 1
    evaluations: dict[str, int] = Field(default_factory=dict)
    day: str = ""
    requested: frozenset[str] = frozenset()
    """Partitions of that day, ``asset:partition``: those that cannot be repaired must not hold up the others."""


@dg.sensor(
    name="incomplete_partitions",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    asset_selection=list(_ASSETS),
    description=(
        "Reads the newest `completeness` of the raw tables, of the messages and of the index. Where it failed, the "
        "hours that lost rows are landed again from the log, those of messages that were deleted at the source and are "
        "still here are derived again, and the buckets that lost passages are rebuilt: at most "
        f"{MAX_RUNS} runs in a tick, and one a day for a partition."
    ),
)
def incomplete_partitions_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Request the runs that new evaluations name."""
    cursor = IncompletePartitionsCursor.parse(context.cursor)
    records = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(list(_KEYS.values()))
    # The record of a check that still runs has its plan, and is completed under the same id.
    latest = {name: records[key] for name, key in _KEYS.items() if key in records and _evaluation(records[key])}
    new = {name: record for name, record in latest.items() if record.id != cursor.evaluations.get(name)}
    today = datetime.now(UTC).date().isoformat()
    requested = cursor.requested if cursor.day == today else frozenset[str]()
    incomplete = [
        (name, partition)
        for name, record in new.items()
        for partition in _named_partitions(record)
        if f"{name}:{partition}" not in requested
    ][:MAX_RUNS]
    after = IncompletePartitionsCursor(
        evaluations=cursor.evaluations | {name: record.id for name, record in latest.items()},
        day=today,
        requested=requested | {f"{name}:{partition}" for name, partition in incomplete},
    ).to_json()
    if not incomplete:
        return dg.SensorResult(skip_reason=_outcome(new), cursor=after)
    return dg.SensorResult(run_requests=[_request(*target, today) for target in incomplete], cursor=after)


def _outcome(new: Mapping[str, object]) -> str:
    return "no new evaluation names a partition that lost something" if new else "no check was evaluated since"


def _named_partitions(record: AssetCheckExecutionRecord) -> Sequence[str]:
    """Partitions that the evaluation names; none of one that passed, or that is still running."""
    evaluation = _evaluation(record)
    if evaluation is None or evaluation.passed or INCOMPLETE_PARTITIONS not in evaluation.metadata:
        return []
    partitions: Any = evaluation.metadata[INCOMPLETE_PARTITIONS].value
    return [str(partition) for partition in partitions]


def _evaluation(record: AssetCheckExecutionRecord) -> dg.AssetCheckEvaluation | None:
    """The result of a check; None while it runs, though its type says otherwise: then Dagster stores the plan there."""
    found: object = record.evaluation
    return found if isinstance(found, dg.AssetCheckEvaluation) else None


def _request(asset: str, partition: str, day: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"incomplete:{asset}:{partition}:{day}",
        asset_selection=[dg.AssetKey(asset)],
        partition_key=partition,
        tags={"why": "incomplete_partitions"},
    )
