"""Upkeep of Dagster's own database."""
# No deferred annotations here: Dagster looks at those of an asset's arguments as they are.

from datetime import timedelta

import dagster as dg
from pydantic import Field

from assets.maintenance.spec import upkeep
from mmplatform.events import utc_now
from resources.dagster_storage import prune, shrink
from resources.failures import failing
from resources.lakehouse import LakehouseResource


class Keeping(dg.Config):
    """For how long Dagster remembers."""

    days: float = Field(
        default=0.0,
        ge=0.0,
        description="Days for which runs and events are kept; 0: as MMPLATFORM_DAGSTER_EVENT_RETENTION_DAYS says.",
    )


@upkeep(
    "event_log",
    "Dagster's own database, pruned: runs that ended, asset events and evaluations of checks that are older than "
    "MMPLATFORM_DAGSTER_EVENT_RETENTION_DAYS go, the newest of each partition and check "
    "stays. Says rows and bytes. Ticks go by `retention` in dagster.yaml.",
    {"dagster", "python"},
)
def event_log(
    context: dg.AssetExecutionContext, config: Keeping, lakehouse: LakehouseResource
) -> dg.MaterializeResult[None]:
    """Prune, then give the bytes back."""
    with failing():
        days = config.days or lakehouse.settings().dagster_event_retention_days
        done = prune(context.instance, utc_now() - timedelta(days=days))
        shrunk = shrink(context.instance)
    if not done.asset_events_known:
        context.log.warning("this storage is no SQL database: asset events of no run stay")
    return dg.MaterializeResult(
        metadata={
            "days": days,
            "runs": done.runs,
            "old_runs_kept": done.kept_runs,
            "events": done.events,
            "event_bytes": done.event_bytes,
            "checks": done.checks,
            "file_bytes_before": shrunk.before,
            "file_bytes_after": shrunk.after,
            "files_in_use": list(shrunk.busy),
            "files_too_large": list(shrunk.left_out),
        }
    )
