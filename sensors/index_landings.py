"""The sensor ``index_landings``: a materialization for each bucket of the index that changed."""

from __future__ import annotations

from typing import Any

import dagster as dg

from assets.index import INDEX
from mmplatform.buckets import BUCKET_NAMES
from mmplatform.errors import PlatformError
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.telemetry.freshness import WINDOW_S
from resources.stack import StackResource
from sensors.index_landings_diff import BucketLanding, IndexLandingsCursor, diff_index_landings
from sensors.ticks import SLOW_INTERVAL_S, skip_unreadable


@dg.sensor(
    name="index_landings",
    minimum_interval_seconds=SLOW_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads from the index worker what it wrote into each bucket and from Chroma how many passages that makes, and "
        "reports the buckets that changed, with the gap to indexed_at over the worker's window and the watermark. No "
        "passage is read, so that it costs the same at any size."
    ),
)
def index_landings_sensor(context: dg.SensorEvaluationContext, stack: StackResource) -> dg.SensorResult:
    """Report the buckets that changed since the last tick; the skip reason says why there is nothing to report."""
    cursor = IndexLandingsCursor.parse(context.cursor)
    try:
        status = stack.index_worker_status()
        with stack.index() as index:
            spaces = EmbedderRegistry(index).latest()
            # Passages of a candidate embedder are no landing: no search finds them before the swap.
            serving = spaces.serving.name if spaces else None
            passages = {bucket: index.count(embedder=serving, bucket=bucket) for bucket in BUCKET_NAMES}
    except PlatformError as error:
        return skip_unreadable("the index cannot be read", error)
    landings, after = diff_index_landings(status, passages, cursor)
    if not landings:
        return dg.SensorResult(skip_reason="no bucket changed since the last tick", cursor=after.to_json())
    return dg.SensorResult(asset_events=[_event(landing) for landing in landings], cursor=after.to_json())


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
    counts = f"{landing.upserted} passages upserted, {landing.deleted} deleted, {landing.passages} in the bucket"
    return dg.AssetMaterialization(
        INDEX,
        description=counts,
        partition=landing.bucket,
        metadata=metadata,
    )
