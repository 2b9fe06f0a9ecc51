"""The sensor ``landings``: a materialization for each table and hour in which the stream landed rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.partitions import hour_key
from mmplatform.errors import PlatformError
from mmplatform.modalities import TABLES
from mmplatform.telemetry.freshness import Quantiles
from resources.lakehouse import LakehouseResource
from resources.readers.freshness_gaps import measure_freshness_gaps
from resources.readers.subscriptions import TABLE_SUBSCRIPTIONS
from resources.stack import StackResource
from sensors.landings_diff import MAX_OLD_HOURS, HourLanding, LandingsCursor, diff_landings
from sensors.ticks import INTERVAL_S, skip_unreadable

if TYPE_CHECKING:
    import numpy as np


@dg.sensor(
    name="landings",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads the new Iceberg snapshots of every table and reports what landed, by hour of event time: the newest "
        f"hour of each table in every tick and up to {MAX_OLD_HOURS} older ones, with new and replaced rows, bytes, "
        "watermark, snapshot, the freshness gap of the newest hour's rows and the lag on the log. Maintenance that "
        "changes no row is no landing. It starts no run: the stream runs without it."
    ),
)
def landings_sensor(
    context: dg.SensorEvaluationContext, lakehouse: LakehouseResource, stack: StackResource
) -> dg.SensorResult:
    """Report the landings since the last tick; the skip reason says why there is nothing to report."""
    cursor = LandingsCursor.parse(context.cursor)
    try:
        commits = lakehouse.read_commits({table: cursor.read_sequence(table) for table in TABLES})
    except PlatformError as error:
        return skip_unreadable("the lakehouse cannot be read", error)
    if not commits:
        return dg.SensorResult(skip_reason="no table yet: nothing was ever archived (is the stack up? `mmplatform up`)")
    landings, after = diff_landings(commits, cursor)
    if not landings:
        return dg.SensorResult(skip_reason="nothing landed since the last tick", cursor=after.to_json())
    newest = {landing.table: landing for landing in landings}  # the newest hour comes last
    gaps = _measure_gaps(context, lakehouse, newest)
    lags = _read_lags(context, stack, newest)
    events = [
        _event(landing, gaps.get(landing.table) if landing is newest[landing.table] else None, lags.get(landing.table))
        for landing in landings
    ]
    return dg.SensorResult(asset_events=events, cursor=after.to_json())


def _measure_gaps(
    context: dg.SensorEvaluationContext, lakehouse: LakehouseResource, newest: Mapping[str, HourLanding]
) -> Mapping[str, np.ndarray[Any, Any]]:
    """The gaps that can be measured; a landing is reported without its gap rather than not at all."""
    files = {table: landing.files for table, landing in newest.items() if landing.files}
    try:
        return measure_freshness_gaps(lakehouse, files)
    except PlatformError as error:
        context.log.warning("landings reported without their gap: %s: %s", type(error).__name__, error)
        return {}


def _read_lags(context: dg.SensorEvaluationContext, stack: StackResource, tables: Collection[str]) -> dict[str, int]:
    """The lag behind each table; empty when the log does not answer: an unknown lag is not 0."""
    try:
        lags = stack.lag(subscription for table in tables for subscription in TABLE_SUBSCRIPTIONS[table])
    except PlatformError as error:
        context.log.info("landings reported without lag: %s: %s", type(error).__name__, error)
        return {}
    return {table: sum(lags[subscription] for subscription in TABLE_SUBSCRIPTIONS[table]) for table in tables}


def _event(landing: HourLanding, gaps: np.ndarray[Any, Any] | None, lag: int | None) -> dg.AssetMaterialization:
    metadata: dict[str, dg.MetadataValue[Any]] = {
        # Not Dagster's own "dagster/partition_row_count": that is all rows of the hour, these are the new ones.
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
    replaced = f", {landing.replaced} were replaced" if landing.replaced else ""
    return dg.AssetMaterialization(
        landing.table,
        description=f"{landing.rows} rows landed for {landing.hour:%Y-%m-%d %H}h UTC{replaced}",
        partition=hour_key(landing.hour),
        metadata=metadata | _gap_metadata(gaps),
    )


def _gap_metadata(gaps: np.ndarray[Any, Any] | None) -> dict[str, dg.MetadataValue[Any]]:
    quantiles = Quantiles.from_seconds(gaps) if gaps is not None else None
    if quantiles is None:
        return {}
    seconds = {f"gap_{name}_s": getattr(quantiles, name) for name in ("p50", "p95", "p99")}
    metadata = {name: dg.MetadataValue.float(round(value, 3)) for name, value in seconds.items()}
    return {**metadata, "gap_rows": dg.MetadataValue.int(quantiles.count)}
