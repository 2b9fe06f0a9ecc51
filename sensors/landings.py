"""The sensor that tells Dagster what the stream landed: a materialization for each table and hour that has news."""

from __future__ import annotations

from typing import Any, Final

import dagster as dg

from assets.partitions import hour_key
from mmplatform.errors import PlatformError
from mmplatform.modalities import TABLES
from resources.lakehouse import LakehouseResource
from sensors.landed import OLD_HOURS, Cursor, Landing, landings

EVERY_S: Final = 30


@dg.sensor(
    name="landings",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads the new Iceberg snapshots of every table and reports what landed, by hour of event time: the newest "
        f"hour of each table in every tick and up to {OLD_HOURS} older ones, with rows, watermark and snapshot. It "
        "starts nothing: the stream runs without it."
    ),
)
def landings_sensor(context: dg.SensorEvaluationContext, lakehouse: LakehouseResource) -> dg.SensorResult:
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
    return dg.SensorResult(asset_events=[_event(landing) for landing in found], cursor=after.model_dump_json())


def _event(landing: Landing) -> dg.AssetMaterialization:
    metadata: dict[str, dg.MetadataValue[Any]] = {
        # Not Dagster's own "dagster/partition_row_count": that is what the whole hour holds, these are the new ones.
        "rows": dg.MetadataValue.int(landing.rows),
        "snapshot_id": dg.MetadataValue.text(str(landing.snapshot_id)),
        "committed_at": dg.MetadataValue.timestamp(landing.committed_at),
        "hours_waiting": dg.MetadataValue.int(landing.waiting),
    }
    if landing.watermark is not None:
        metadata["watermark"] = dg.MetadataValue.timestamp(landing.watermark)
    return dg.AssetMaterialization(
        landing.table,
        description=f"{landing.rows} rows landed for {landing.hour:%Y-%m-%d %H}h UTC",
        partition=hour_key(landing.hour),
        metadata=metadata,
    )
