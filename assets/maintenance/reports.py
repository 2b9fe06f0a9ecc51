"""Two reports of a day, by event time: its freshness and its costs.

Their figures are stored as metadata of the materialization and nowhere else: a few hundred numbers a day, which the UI
plots by partition, and which can be computed from the tables again at any time. The newest of each day stays when
Dagster's database is pruned.
"""
# No deferred annotations here: Dagster reads those of an asset's arguments as they are.

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import dagster as dg
from pydantic import Field

from assets.maintenance.spec import DAILY_PARTITIONS, maintenance_asset
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE, TABLES
from quality.checks.freshness_gap import gap_s
from quality.reports import costs, freshness
from quality.slas import MODALITY_SLAS
from resources.failures import as_dagster_failure
from resources.lakehouse import LakehouseResource
from resources.readers.hours import HourReader, open_hour_reader

_STAMPS: Final = ("modality", "event_time", "derived_at")
_MAPPING: Final = dg.TimeWindowPartitionMapping()
_UNIT_METADATA: Final[dict[str, str]] = {
    "chat": "seconds_per_1000_chats",
    "call": "seconds_per_audio_hour",
    "screenshot": "seconds_per_screenshot",
}
_DERIVED_TABLES: Final = (*(spec.derived_table for spec in MODALITIES.values()), PASSAGES_TABLE)


@maintenance_asset(
    "freshness_report",
    "The gap from event to derived passage of a day: p50, p95, p99 and the share within the budget, by modality "
    "and hour. To retrievable it is the write to the log longer, which `freshness_breach` watches live. A reprocessed "
    "hour has the stamps of its last run.",
    {"iceberg", "python"},
    partitions_def=DAILY_PARTITIONS,
    deps=[dg.AssetDep(PASSAGES_TABLE, partition_mapping=_MAPPING)],
)
def freshness_report(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> dg.MaterializeResult[None]:
    """Compute the day's gaps from the stamps in ``passages``."""
    seconds: dict[datetime, dict[str, list[float]]] = {}
    with as_dagster_failure():
        reader = open_hour_reader(lakehouse)
        for hour in _hours(context):
            for row in reader.rows(PASSAGES_TABLE, hour, _STAMPS):
                seconds.setdefault(hour, {}).setdefault(row["modality"], []).append(gap_s(row, "derived_at"))
    stats = freshness.stats_by_modality(seconds, MODALITY_SLAS)
    metadata: dict[str, Any] = {"passages": sum(day.rows for day, _ in stats.values())}
    for modality, (day, _) in stats.items():
        metadata |= {f"{modality}_{name}": getattr(day, name) for name in day.__slots__}
    report = dg.MetadataValue.md(freshness.as_markdown(stats, MODALITY_SLAS))
    return dg.MaterializeResult(metadata={**metadata, "report": report})


class CostReportConfig(dg.Config):
    """Price of the machine."""

    machine_hour_price: float | None = Field(
        default=None,
        ge=0,
        description="Price of a machine-hour, in your money; without it the report has seconds only.",
    )


@maintenance_asset(
    "cost_report",
    "Costs of a day: seconds of model time by modality and model, from the provenance of the artifacts, per 1,000 "
    "chats, audio hour and screenshot; rows and bytes of each table and of the blobs. Reprocessed artifacts count "
    "with the time of their last run.",
    {"iceberg", "python"},
    partitions_def=DAILY_PARTITIONS,
    deps=[dg.AssetDep(table, partition_mapping=_MAPPING) for table in _DERIVED_TABLES],
)
def cost_report(
    context: dg.AssetExecutionContext, config: CostReportConfig, lakehouse: LakehouseResource
) -> dg.MaterializeResult[None]:
    """Add up the provenance of the day's artifacts."""
    day_costs, hours = costs.DayCosts(), list(_hours(context))
    with as_dagster_failure():
        reader = open_hour_reader(lakehouse)
        blobs: dict[str, int] = {}
        for hour in hours:
            for table in _DERIVED_TABLES:
                day_costs.add_artifacts(reader.rows(table, hour, costs.MODEL_COLUMNS))
            _add_inputs(day_costs, blobs, reader, hour)
        stored = {table: _stored_size(reader, table, hours) for table in TABLES}
    blob_bytes = sum(blobs.values())
    stored["blobs of the day"] = costs.StoredSize(len(blobs), blob_bytes, len(blobs), blob_bytes)
    return dg.MaterializeResult(metadata=_cost_metadata(day_costs, stored, config.machine_hour_price))


def _add_inputs(day_costs: costs.DayCosts, blobs: dict[str, int], reader: HourReader, hour: datetime) -> None:
    """Count the hour's events, their duration and their bytes. A blob that several events share counts once."""
    for modality, spec in MODALITIES.items():
        if modality == "chat":
            day_costs.inputs[modality] += len(reader.rows(spec.raw_table, hour, ("event_id",)))
            continue
        columns = ("blob_key", "blob_size", *(("duration_s",) if modality == "call" else ()))
        for row in reader.rows(spec.raw_table, hour, columns):
            if row["blob_key"]:  # the end of a call has none
                blobs[row["blob_key"]] = row["blob_size"] or 0
                day_costs.inputs[modality] += (row["duration_s"] or 0.0) / 3600 if modality == "call" else 1.0


def _stored_size(reader: HourReader, table: str, hours: list[datetime]) -> costs.StoredSize:
    sizes = reader.sizes(table)
    day_sizes = [sizes[hour] for hour in hours if hour in sizes]
    return costs.StoredSize(
        rows=sum(rows for _, _, rows in sizes.values()),
        size=sum(size for _, size, _ in sizes.values()),
        day_rows=sum(rows for _, _, rows in day_sizes),
        day_size=sum(size for _, size, _ in day_sizes),
    )


def _cost_metadata(
    day_costs: costs.DayCosts, stored: dict[str, costs.StoredSize], price: float | None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {f"{modality}_seconds": day_costs.seconds(modality) for modality in MODALITIES}
    for modality, seconds in day_costs.per_unit().items():
        metadata[_UNIT_METADATA[modality]] = seconds
        if price is not None:
            metadata[_UNIT_METADATA[modality].replace("seconds", "cost")] = seconds / 3600 * price
    metadata["table_bytes"] = sum(stored[table].size for table in TABLES)
    metadata["table_rows"] = sum(stored[table].rows for table in TABLES)
    metadata["blob_bytes_of_day"] = stored["blobs of the day"].day_size
    return {**metadata, "report": dg.MetadataValue.md(costs.as_markdown(day_costs, stored, price))}


def _hours(context: dg.AssetExecutionContext) -> Iterator[datetime]:
    """The hours of the run's days: one, or several in one backfill run."""
    window = context.partition_time_window
    hour = window.start
    while hour < window.end:
        yield hour
        hour += HOUR
