"""Maintenance of Dagster's own database."""
# No deferred annotations here: Dagster reads those of an asset's arguments as they are.

from datetime import timedelta

import dagster as dg
from pydantic import Field

from assets.maintenance.spec import maintenance_asset
from mmplatform.events import utc_now
from resources.dagster_storage import prune, shrink
from resources.failures import as_dagster_failure
from resources.lakehouse import LakehouseResource


class EventLogConfig(dg.Config):
    """Retention of Dagster's runs and events."""

    days: float = Field(
        default=0.0,
        ge=0.0,
        description="Days for which runs and events are kept; 0: as MMPLATFORM_DAGSTER_EVENT_RETENTION_DAYS says.",
    )


@maintenance_asset(
    "event_log",
    "Dagster's own database, pruned: deletes ended runs, asset events and check evaluations older than "
    "MMPLATFORM_DAGSTER_EVENT_RETENTION_DAYS, except the newest of each partition and check. Reports rows "
    "and bytes. Ticks follow `retention` in dagster.yaml.",
    {"dagster", "python"},
)
def event_log(
    context: dg.AssetExecutionContext, config: EventLogConfig, lakehouse: LakehouseResource
) -> dg.MaterializeResult[None]:
    """Prune, then return the free bytes to the disk."""
    with as_dagster_failure():
        days = config.days or lakehouse.settings().dagster_event_retention_days
        pruned = prune(context.instance, utc_now() - timedelta(days=days))
        shrunk = shrink(context.instance)
    if not pruned.prunes_asset_events:
        context.log.warning("this storage is no SQL database: asset events without a run stay")
    return dg.MaterializeResult(
        metadata={
            "days": days,
            "runs": pruned.runs,
            "old_runs_kept": pruned.retained_runs,
            "events": pruned.events,
            "event_bytes": pruned.event_bytes,
            "checks": pruned.checks,
            "file_bytes_before": shrunk.before,
            "file_bytes_after": shrunk.after,
            "files_in_use": list(shrunk.busy),
            "files_too_large": list(shrunk.skipped),
        }
    )
