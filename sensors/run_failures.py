"""The sensor that tells the alert webhook of failed runs: job, run, type of the error and a link, never a payload."""

from __future__ import annotations

from typing import Final

import dagster as dg

from mmplatform.errors import PlatformError
from resources.alerts import Alert, AlertsResource, attempt
from sensors.lineage_events import error_type

EVERY_S: Final = 30


@dg.run_failure_sensor(
    name="run_failures",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Posts each failed run to MMPLATFORM_ALERT_WEBHOOK_URL: job, run id, type of the error and a link. A webhook "
        "that is away costs the alert and nothing else."
    ),
)
def failures_sensor(context: dg.RunFailureSensorContext, alerts: AlertsResource) -> dg.SkipReason | None:
    """Tell of one failed run; says why when nobody was told."""
    try:
        if not alerts.wanted():
            return dg.SkipReason("MMPLATFORM_ALERT_WEBHOOK_URL is empty: nobody is told")
        trouble = attempt(alerts, alert_of(context, alerts))
    except PlatformError as error:
        trouble = f"{type(error).__name__}: {error}"
    return dg.SkipReason(f"not told: {trouble}") if trouble else None


def alert_of(context: dg.RunFailureSensorContext, alerts: AlertsResource) -> Alert:
    """What is told of a run. Raises ``Misconfigured``."""
    run = context.dagster_run
    steps = context.get_step_failure_events()
    error = error_type(steps[0].step_failure_data) if steps else "the run failed before its steps"
    return Alert(job=run.job_name, run_id=run.run_id, error=error, link=alerts.link(run.run_id))
