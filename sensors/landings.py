"""The sensor that tells Dagster what the stream landed: a materialization for each table and hour that has news."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from assets.partitions import hour_key
from mmplatform.errors import PlatformError
from mmplatform.modalities import TABLES
from mmplatform.telemetry.freshness import Quantiles
from resources.lakehouse import LakehouseResource
from resources.readers.freshness_gaps import gaps_of
from resources.readers.writers import WRITERS
from resources.stack import StackResource
from sensors.landings_diff import OLD_HOURS, Cursor, Landing, landings

if TYPE_CHECKING:
    import numpy as np

EVERY_S: Final = 30


@dg.sensor(
    name="landings",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads the new Iceberg snapshots of every table and reports what landed, by hour of event time: the newest "
        f"hour of each table in every tick and up to {OLD_HOURS} older ones, with new and replaced rows, bytes, "
        "watermark, snapshot, the freshness gap of the newest hour's rows and what still waits on the log. Upkeep that "
        "changes no row is no landing. It starts nothing: the stream runs without it."
    ),
)
def landings_sensor(
    context: dg.SensorEvaluationContext, lakehouse: LakehouseResource, stack: StackResource
) -> dg.SensorResult:
    """Report what landed since the last tick; says why when there is nothing to say."""
    cursor = Cursor.parse(context.cursor)
    try:
        logs = lakehouse.logs({table: cursor.after(table) for table in TABLES})
    except PlatformError as error:
        return dg.SensorResult(skip_reason=f"the lakehouse cannot be read: {type(error).__name__}: {error}")
    if not logs:
        return dg.SensorResult(skip_reason="no table yet: nothing was ever archived (is the stack up? `mmplatform up`)")
    found, after = landings(logs, cursor)
    if not found:
        return dg.SensorResult(skip_reason="nothing landed since the last tick", cursor=after.model_dump_json())
    newest = {landing.table: landing for landing in found}  # the newest hour comes last
    gaps = _gaps(context, lakehouse, newest)
    lags = _lags(context, stack, newest)
    events = [
        _event(landing, gaps.get(landing.table) if landing is newest[landing.table] else None, lags.get(landing.table))
        for landing in found
    ]
    return dg.SensorResult(asset_events=events, cursor=after.model_dump_json())


def _gaps(
    context: dg.SensorEvaluationContext, lakehouse: LakehouseResource, newest: Mapping[str, Landing]
) -> Mapping[str, np.ndarray[Any, Any]]:
    """The gaps that can be measured; a landing is told without one rather than not at all."""
    try:
        return gaps_of(lakehouse, {table: landing.files for table, landing in newest.items() if landing.files})
    except PlatformError as error:
        context.log.warning("told without their gap: %s: %s", type(error).__name__, error)
        return {}


def _lags(context: dg.SensorEvaluationContext, stack: StackResource, tables: Collection[str]) -> dict[str, int]:
    """What waits on the log for each table; nothing where nobody can be asked: unknown is not 0."""
    try:
        lags = stack.lag(reader for table in tables for reader in WRITERS[table])
    except PlatformError as error:
        context.log.info("told without lag: %s: %s", type(error).__name__, error)
        return {}
    return {table: sum(lags[reader] for reader in WRITERS[table]) for table in tables}


def _event(landing: Landing, gaps: np.ndarray[Any, Any] | None, lag: int | None) -> dg.AssetMaterialization:
    metadata: dict[str, dg.MetadataValue[Any]] = {
        # Not Dagster's own "dagster/partition_row_count": that is what the whole hour holds, these are the new ones.
        "rows": dg.MetadataValue.int(landing.rows),
        "replaced": dg.MetadataValue.int(landing.replaced),
        "bytes": dg.MetadataValue.int(landing.size),
        "snapshot_id": dg.MetadataValue.text(str(landing.snapshot_id)),
        "committed_at": dg.MetadataValue.timestamp(landing.committed_at),
        "hours_waiting": dg.MetadataValue.int(landing.waiting),
    }
    if landing.watermark is not None:
        metadata["watermark"] = dg.MetadataValue.timestamp(landing.watermark)
    if lag is not None:
        metadata["lag"] = dg.MetadataValue.int(lag)
    told = f", {landing.replaced} were replaced" if landing.replaced else ""
    return dg.AssetMaterialization(
        landing.table,
        description=f"{landing.rows} rows landed for {landing.hour:%Y-%m-%d %H}h UTC{told}",
        partition=hour_key(landing.hour),
        metadata=metadata | _measured(gaps),
    )


def _measured(gaps: np.ndarray[Any, Any] | None) -> dict[str, dg.MetadataValue[Any]]:
    quantiles = Quantiles.from_seconds(gaps) if gaps is not None else None
    if quantiles is None:
        return {}
    seconds = {f"gap_{name}_s": getattr(quantiles, name) for name in ("p50", "p95", "p99")}
    figures = {name: dg.MetadataValue.float(round(value, 3)) for name, value in seconds.items()}
    return {**figures, "gap_rows": dg.MetadataValue.int(quantiles.count)}
