"""Upkeep of the Iceberg tables: fewer files, fewer snapshots, no orphans."""
# No deferred annotations here: Dagster looks at those of an asset's arguments as they are.

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from assets.maintenance.spec import upkeep
from mmplatform.events import utc_now
from mmplatform.modalities import TABLES
from resources.failures import failing
from resources.lakehouse import LakehouseResource
from resources.readers.hours import open_lakehouse, reading


class Compacting(dg.Config):
    """What is compacted."""

    settled_hours: float = Field(default=1.0, ge=0.25, description="Hours since an hour ended, before it is touched.")
    small_mb: float = Field(default=32.0, gt=0, description="Files below so many megabytes are joined with others.")


class Expiring(dg.Config):
    """What is too old."""

    orphan_hours: float = Field(default=24.0, ge=1.0, description="Age of a file that nothing refers to, in hours.")


@upkeep(
    "compaction",
    "Small files of settled hours written anew as fewer, without changing a row; says files and bytes of each "
    "table before and after. Safe beside the archiver and reprocessing runs: an hour that others write to "
    "meanwhile is tried again, then left for the next day.",
    {"iceberg", "python"},
)
def compaction(
    context: dg.AssetExecutionContext, config: Compacting, lakehouse: LakehouseResource
) -> dg.MaterializeResult[None]:
    """Compact every table."""
    from mmplatform.land.lakehouse.maintenance.compaction import compact

    found: dict[str, dict[str, int]] = {}
    with failing():
        opened = open_lakehouse(lakehouse)
        for name in TABLES:
            with reading(name):
                done = compact(
                    lambda name=name: opened.table(name),  # type: ignore[misc]
                    utc_now(),
                    settle_time=timedelta(hours=config.settled_hours),
                    small_bytes=int(config.small_mb * 1024 * 1024),
                )
            found[name] = {each: getattr(done, each) for each in done.__slots__}
            context.log.info("%s: %d files became %d", name, done.files_before, done.files_after)
    return dg.MaterializeResult(metadata=_shown(found))


@upkeep(
    "snapshot_expiry",
    "Old snapshots forgotten and the files deleted that only they needed (the archiver does so each hour too); "
    "then files that nothing refers to, left by crashes, really deleted once they are older than a day. Says how "
    "many files and bytes went.",
    {"iceberg", "python"},
)
def snapshot_expiry(
    context: dg.AssetExecutionContext, config: Expiring, lakehouse: LakehouseResource
) -> dg.MaterializeResult[None]:
    """Expire every table's snapshots and delete its orphans."""
    from mmplatform.land.lakehouse.maintenance.orphan_files import delete_orphans
    from mmplatform.land.lakehouse.maintenance.snapshot_expiry import expire_snapshots

    found: dict[str, dict[str, int]] = {}
    with failing():
        opened = open_lakehouse(lakehouse)
        places = {}
        for name in TABLES:
            with reading(name):
                places[name] = opened.table(name).location()
        for name in TABLES:
            with reading(name):
                gone = expire_snapshots(opened.table(name), utc_now())
                orphans = delete_orphans(
                    lambda name=name: opened.table(name),  # type: ignore[misc]
                    utc_now(),
                    other_locations=[place for other, place in places.items() if other != name],
                    age=timedelta(hours=config.orphan_hours),
                )
            found[name] = {
                "snapshots": gone.snapshots,
                "expired_files": gone.files,
                "expired_bytes": gone.size,
                "orphans": orphans.files,
                "orphan_bytes": orphans.size,
                "young_left": orphans.young,
            }
            context.log.info("%s: %d snapshots, %d orphans", name, gone.snapshots, orphans.files)
    return dg.MaterializeResult(metadata=_shown(found))


def _shown(found: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Sums, which plot, and a table of the tables."""
    names = list(next(iter(found.values())))
    sums = {name: sum(each[name] for each in found.values()) for name in names}
    text = f"| table | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}\n"
    for table, each in found.items():
        text += f"| {table} | {' | '.join(str(each[name]) for name in names)} |\n"
    return {**sums, "tables": dg.MetadataValue.md(text)}
