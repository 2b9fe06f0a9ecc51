"""Maintenance of the Iceberg tables: fewer files, fewer snapshots, no orphan files."""
# No deferred annotations here: Dagster reads those of an asset's arguments as they are.

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from assets.maintenance.spec import maintenance_asset
from mmplatform.events import utc_now
from mmplatform.modalities import TABLES
from resources.failures import as_dagster_failure
from resources.lakehouse import LakehouseResource
from resources.readers.hours import open_lakehouse, read_errors


class CompactionConfig(dg.Config):
    """Hours and files to compact."""

    settled_hours: float = Field(default=1.0, ge=0.25, description="Hours since an hour ended, before it is touched.")
    small_mb: float = Field(default=32.0, gt=0, description="Files below so many megabytes are joined with others.")


class SnapshotExpiryConfig(dg.Config):
    """Age of orphan files."""

    orphan_hours: float = Field(default=24.0, ge=1.0, description="Age of a file that nothing refers to, in hours.")


@maintenance_asset(
    "compaction",
    "Small files of settled hours, rewritten as fewer without changing a row; reports files and bytes of each "
    "table before and after. Safe with a running archiver and reprocessing: an hour with concurrent writes is "
    "tried again, then left for the next day.",
    {"iceberg", "python"},
)
def compaction(
    context: dg.AssetExecutionContext, config: CompactionConfig, lakehouse: LakehouseResource
) -> dg.MaterializeResult[None]:
    """Compact every table."""
    from mmplatform.land.lakehouse.maintenance.compaction import compact

    results: dict[str, dict[str, int]] = {}
    with as_dagster_failure():
        opened = open_lakehouse(lakehouse)
        for table in TABLES:
            with read_errors(table):
                result = compact(
                    lambda table=table: opened.table(table),  # type: ignore[misc]
                    utc_now(),
                    settle_time=timedelta(hours=config.settled_hours),
                    small_bytes=int(config.small_mb * 1024 * 1024),
                )
            results[table] = {name: getattr(result, name) for name in result.__slots__}
            context.log.info("%s: %d files became %d", table, result.files_before, result.files_after)
    return dg.MaterializeResult(metadata=_metadata(results))


@maintenance_asset(
    "snapshot_expiry",
    "Old snapshots expired and the files deleted that only they needed (the archiver does so each hour too); "
    "then orphan files, left by crashes, deleted once they are older than a day. Reports how many files and bytes "
    "were deleted.",
    {"iceberg", "python"},
)
def snapshot_expiry(
    context: dg.AssetExecutionContext, config: SnapshotExpiryConfig, lakehouse: LakehouseResource
) -> dg.MaterializeResult[None]:
    """Expire every table's snapshots and delete its orphan files."""
    from mmplatform.land.lakehouse.maintenance.orphan_files import delete_orphans
    from mmplatform.land.lakehouse.maintenance.snapshot_expiry import expire_snapshots

    results: dict[str, dict[str, int]] = {}
    with as_dagster_failure():
        opened = open_lakehouse(lakehouse)
        locations = {}
        for table in TABLES:
            with read_errors(table):
                locations[table] = opened.table(table).location()
        for table in TABLES:
            with read_errors(table):
                expired = expire_snapshots(opened.table(table), utc_now())
                orphans = delete_orphans(
                    lambda table=table: opened.table(table),  # type: ignore[misc]
                    utc_now(),
                    other_locations=[location for name, location in locations.items() if name != table],
                    age=timedelta(hours=config.orphan_hours),
                )
            results[table] = {
                "snapshots": expired.snapshots,
                "expired_files": expired.files,
                "expired_bytes": expired.size,
                "orphans": orphans.files,
                "orphan_bytes": orphans.size,
                "young_left": orphans.young,
            }
            context.log.info("%s: %d snapshots, %d orphans", table, expired.snapshots, orphans.files)
    return dg.MaterializeResult(metadata=_metadata(results))


def _metadata(results: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Sums, which the UI plots, and a Markdown table by Iceberg table."""
    names = list(next(iter(results.values())))
    sums = {name: sum(figures[name] for figures in results.values()) for name in names}
    text = f"| table | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}\n"
    for table, figures in results.items():
        text += f"| {table} | {' | '.join(str(figures[name]) for name in names)} |\n"
    return {**sums, "tables": dg.MetadataValue.md(text)}
