"""Daily maintenance: data files, snapshots, Dagster's own database, and two reports."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from assets.maintenance.dagster_storage import event_log
from assets.maintenance.reports import cost_report, freshness_report
from assets.maintenance.tables import compaction, snapshot_expiry
from quality.slas import DAILY_DEADLINES


def maintenance_assets() -> list[dg.AssetsDefinition]:
    """Every maintenance asset."""
    return [compaction, snapshot_expiry, freshness_report, cost_report, event_log]


def maintenance_schedules() -> list[dg.ScheduleDefinition]:
    """One for each, running by default; the reports are those of the ended day."""
    return [_daily_schedule(asset) for asset in maintenance_assets()]


def _daily_schedule(asset: dg.AssetsDefinition) -> dg.ScheduleDefinition:
    name = asset.key.to_user_string()

    @dg.schedule(
        name=f"{name}_daily",
        cron_schedule=DAILY_DEADLINES[name].cron,
        target=[asset],
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Materializes {name} once a day.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        scheduled_at = context.scheduled_execution_time
        if asset.partitions_def is None:
            return dg.RunRequest(run_key=f"{scheduled_at:%Y-%m-%d}")
        day = f"{scheduled_at - timedelta(days=1):%Y-%m-%d}"
        return dg.RunRequest(run_key=day, partition_key=day)

    return schedule
