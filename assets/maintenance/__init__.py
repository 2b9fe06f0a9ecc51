"""What keeps the house in order, once a day: files, snapshots, Dagster's own database, and two reports."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from assets.maintenance.dagster_storage import event_log
from assets.maintenance.reports import cost_report, freshness_report
from assets.maintenance.tables import compaction, snapshot_expiry
from quality.slas import DAILY


def upkeep_assets() -> list[dg.AssetsDefinition]:
    """Every upkeep asset."""
    return [compaction, snapshot_expiry, freshness_report, cost_report, event_log]


def upkeep_schedules() -> list[dg.ScheduleDefinition]:
    """One for each, running without being switched on; the reports are those of the day that ended."""
    return [_schedule(asset) for asset in upkeep_assets()]


def _schedule(asset: dg.AssetsDefinition) -> dg.ScheduleDefinition:
    name = asset.key.to_user_string()

    @dg.schedule(
        name=f"{name}_daily",
        cron_schedule=DAILY[name].at,
        target=[asset],
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Materializes {name} once a day.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        at = context.scheduled_execution_time
        if asset.partitions_def is None:
            return dg.RunRequest(run_key=f"{at:%Y-%m-%d}")
        day = f"{at - timedelta(days=1):%Y-%m-%d}"
        return dg.RunRequest(run_key=day, partition_key=day)

    return schedule
