"""Schedules that evaluate the checks: without them a check would stay "not evaluated" until a run of its asset."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import dagster as dg

from assets.partitions import hour_key
from mmplatform.land.lakehouse.hour_partition import HOUR

JOB: Final = "evaluate_checks"
CLOSED_HOUR_CRON: Final = "2 * * * *"
"""Two minutes after the hour: rows younger than that count as in progress (``assets.checks.hours.SETTLE_S``)."""

NEWEST_HOUR_CRON: Final = "12,27,42,57 * * * *"
"""Four runs an hour bound the work: a run is a process of its own, and reads the newest hour of each table once."""


def check_schedules(checks: Iterable[dg.AssetChecksDefinition]) -> list[dg.ScheduleDefinition]:
    """Return two schedules of one job over all checks: the hour that closed, and the newest one."""
    by_hour = sorted(definition.node_def.name for definition in checks if _is_hourly(definition))
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.all_asset_checks(),
        description="Evaluates every check, of the newest hour where no hour is configured. It changes no row.",
    )

    def request_closed_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        key = closed_hour_key(context.scheduled_execution_time)
        return dg.RunRequest(run_key=key, run_config=hour_config(by_hour, key), tags={"mmplatform/hour": key})

    return [
        dg.ScheduleDefinition(
            name="closed_hour_checks",
            job=job,
            cron_schedule=CLOSED_HOUR_CRON,
            execution_timezone="UTC",
            execution_fn=request_closed_hour,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Evaluates the checks of the hour that ended two minutes ago.",
        ),
        dg.ScheduleDefinition(
            name="newest_hour_checks",
            job=job,
            cron_schedule=NEWEST_HOUR_CRON,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Evaluates the checks of the newest hour of each table, four times an hour.",
        ),
    ]


def closed_hour_key(scheduled_at: datetime) -> str:
    """Return the partition key of the last hour that had ended at a time."""
    start = scheduled_at.replace(minute=0, second=0, microsecond=0) - HOUR
    key = hour_key(start)
    if key is None:
        raise ValueError(f"there is no partition before {start + timedelta(hours=1):%Y-%m-%d}")
    return key


def hour_config(operations: Iterable[str], key: str) -> dict[str, Any]:
    """Return the run configuration that gives each check the same hour."""
    return {"ops": {name: {"config": {"hour": key}} for name in operations}}


def _is_hourly(definition: dg.AssetChecksDefinition) -> bool:
    schema = definition.node_def.config_schema
    return schema is not None and "hour" in getattr(schema.config_type, "fields", {})
