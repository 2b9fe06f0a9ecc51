"""Two reports of a day, by event time: how fresh it was, and what it cost.

Their figures are kept as metadata of the materialization and nowhere else: a few hundred numbers a day, which the UI
plots by partition, and which can be computed from the tables again at any time. The newest of each day stays when
Dagster's database is pruned.
"""
# No deferred annotations here: Dagster looks at those of an asset's arguments as they are.

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import dagster as dg
from pydantic import Field

from assets.maintenance.spec import KEPT_DAYS, upkeep
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE, TABLES
from quality.checks.verdict import gap_s
from quality.reports import costs, freshness
from quality.slas import MODALITY_SLAS
from resources.failures import failing
from resources.lakehouse import LakehouseResource
from resources.readers.hours import Hours, open_hours

_STAMPS: Final = ("modality", "event_time", "derived_at")
_MAPPED: Final = dg.TimeWindowPartitionMapping()
_MADE: Final = (*(spec.derived_table for spec in MODALITIES.values()), PASSAGES_TABLE)


@upkeep(
    "freshness_report",
    "The gap from event to derived passage of a day: p50, p95, p99 and the share within the budget, by modality "
    "and hour. To retrievable it is the indexer's commit longer, which `freshness_breach` watches live. An hour that "
    "was derived again has the stamps of that run.",
    {"iceberg", "python"},
    partitions_def=KEPT_DAYS,
    deps=[dg.AssetDep(PASSAGES_TABLE, partition_mapping=_MAPPED)],
)
def freshness_report(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> dg.MaterializeResult[None]:
    """Compute the day's gaps from the stamps in ``passages``."""
    seconds: dict[datetime, dict[str, list[float]]] = {}
    with failing():
        hours = open_hours(lakehouse)
        for hour in _hours(context):
            for row in hours.rows(PASSAGES_TABLE, hour, _STAMPS):
                seconds.setdefault(hour, {}).setdefault(row["modality"], []).append(gap_s(row, "derived_at"))
    found = freshness.by_modality(seconds, MODALITY_SLAS)
    figures: dict[str, Any] = {"passages": sum(day.rows for day, _ in found.values())}
    for modality, (day, _) in found.items():
        figures |= {f"{modality}_{name}": getattr(day, name) for name in day.__slots__}
    report = dg.MetadataValue.md(freshness.as_markdown(found, MODALITY_SLAS))
    return dg.MaterializeResult(metadata={**figures, "report": report})


class Pricing(dg.Config):
    """What a machine costs."""

    machine_hour_price: float | None = Field(
        default=None,
        ge=0,
        description="Price of a machine-hour, in your money; without it the report has seconds only.",
    )


@upkeep(
    "cost_report",
    "What a day cost: seconds of model time by modality and model, as the artifacts say them, per 1,000 chats, "
    "audio hour and screenshot; rows and bytes of each table and of the blobs. What a run derived again counts as "
    "that run took.",
    {"iceberg", "python"},
    partitions_def=KEPT_DAYS,
    deps=[dg.AssetDep(table, partition_mapping=_MAPPED) for table in _MADE],
)
def cost_report(
    context: dg.AssetExecutionContext, config: Pricing, lakehouse: LakehouseResource
) -> dg.MaterializeResult[None]:
    """Add up what the artifacts of the day say of themselves."""
    found, day = costs.Costs(), list(_hours(context))
    with failing():
        hours = open_hours(lakehouse)
        blobs: dict[str, int] = {}
        for hour in day:
            for table in _MADE:
                found.made(hours.rows(table, hour, costs.MODEL_COLUMNS))
            _take_in(found, blobs, hours, hour)
        kept = {table: _kept(hours, table, day) for table in TABLES}
    kept["blobs of the day"] = costs.Kept(len(blobs), sum(blobs.values()), len(blobs), sum(blobs.values()))
    return dg.MaterializeResult(metadata=_figures(found, kept, config.machine_hour_price))


def _take_in(found: costs.Costs, blobs: dict[str, int], hours: Hours, hour: datetime) -> None:
    """The hour's events: how many, how long, and their bytes. A blob that several events share is one."""
    for modality, spec in MODALITIES.items():
        if modality == "chat":
            found.inputs[modality] += len(hours.rows(spec.raw_table, hour, ("event_id",)))
            continue
        columns = ("blob_key", "blob_size", *(("duration_s",) if modality == "call" else ()))
        for row in hours.rows(spec.raw_table, hour, columns):
            if row["blob_key"]:  # the end of a call has none
                blobs[row["blob_key"]] = row["blob_size"] or 0
                found.inputs[modality] += (row["duration_s"] or 0.0) / 3600 if modality == "call" else 1.0


def _kept(hours: Hours, table: str, day: list[datetime]) -> costs.Kept:
    sizes = hours.sizes(table)
    of_day = [sizes[hour] for hour in day if hour in sizes]
    return costs.Kept(
        rows=sum(rows for _, _, rows in sizes.values()),
        size=sum(size for _, size, _ in sizes.values()),
        day_rows=sum(rows for _, _, rows in of_day),
        day_size=sum(size for _, size, _ in of_day),
    )


def _figures(found: costs.Costs, kept: dict[str, costs.Kept], price: float | None) -> dict[str, Any]:
    figures: dict[str, Any] = {f"{modality}_seconds": found.seconds(modality) for modality in MODALITIES}
    names = {"chat": "seconds_per_1000_chats", "call": "seconds_per_audio_hour", "screenshot": "seconds_per_screenshot"}
    for modality, seconds in found.per_unit().items():
        figures[names[modality]] = seconds
        if price is not None:
            figures[names[modality].replace("seconds", "cost")] = seconds / 3600 * price
    figures["table_bytes"] = sum(each.size for name, each in kept.items() if name in TABLES)
    figures["table_rows"] = sum(each.rows for name, each in kept.items() if name in TABLES)
    figures["blob_bytes_of_day"] = kept["blobs of the day"].day_size
    return {**figures, "report": dg.MetadataValue.md(costs.as_markdown(found, kept, price))}


def _hours(context: dg.AssetExecutionContext) -> Iterator[datetime]:
    """The hours of the run's days: one, or several in one backfill run."""
    window = context.partition_time_window
    hour = window.start
    while hour < window.end:
        yield hour
        hour += HOUR
