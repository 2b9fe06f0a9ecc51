"""The sensor that tells Dagster what came into the index: a materialization for each bucket that changed."""

from __future__ import annotations

from typing import Any, Final

import dagster as dg

from assets.index import INDEX
from mmplatform.buckets import BUCKET_NAMES
from mmplatform.errors import PlatformError
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.telemetry.freshness import WINDOW_S
from resources.stack import StackResource
from sensors.index_landings_diff import BucketLanding, Cursor, bucket_landings

EVERY_S: Final = 30


@dg.sensor(
    name="index_landings",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks the index worker what it put into each bucket and Chroma how many passages that makes, and reports the "
        "buckets that changed, with the gap to indexed_at over the worker's window and the watermark. No passage is "
        "read, so that it costs the same at any size."
    ),
)
def index_sensor(context: dg.SensorEvaluationContext, stack: StackResource) -> dg.SensorResult:
    """Report the buckets that changed since the last tick; says why when there is nothing to say."""
    cursor = Cursor.parse(context.cursor)
    try:
        status = stack.measured()
        with stack.index() as index:
            spaces = EmbedderRegistry(index).latest()
            # What a build copies beside it is nothing that landed, and no search finds it before the swap.
            serving = spaces.serving.name if spaces else None
            passages = {bucket: index.count(embedder=serving, bucket=bucket) for bucket in BUCKET_NAMES}
    except PlatformError as error:
        return dg.SensorResult(skip_reason=f"the index cannot be asked: {type(error).__name__}: {error}")
    found, after = bucket_landings(status, passages, cursor)
    if not found:
        return dg.SensorResult(skip_reason="no bucket changed since the last tick", cursor=after.model_dump_json())
    return dg.SensorResult(asset_events=[_event(each) for each in found], cursor=after.model_dump_json())


def _event(landing: BucketLanding) -> dg.AssetMaterialization:
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "upserted": dg.MetadataValue.int(landing.upserted),
        "deleted": dg.MetadataValue.int(landing.deleted),
        "dagster/partition_row_count": dg.MetadataValue.int(landing.passages),
    }
    gap = landing.gap
    if gap.count:
        seconds = {"gap_p50_s": gap.p50, "gap_p95_s": gap.p95, "gap_p99_s": gap.p99}
        metadata |= {name: dg.MetadataValue.float(value) for name, value in seconds.items() if value is not None}
        metadata["gap_rows"] = dg.MetadataValue.int(gap.count)
        metadata["gap_window_s"] = dg.MetadataValue.float(WINDOW_S)
    if landing.watermark is not None:
        metadata["watermark"] = dg.MetadataValue.timestamp(landing.watermark)
    told = f"{landing.upserted} passages came, {landing.deleted} were taken back, {landing.passages} are there"
    return dg.AssetMaterialization(
        INDEX,
        description=told,
        partition=landing.bucket,
        metadata=metadata,
    )
