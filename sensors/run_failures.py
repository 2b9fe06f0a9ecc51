"""The sensor ``run_failures``: posts failed runs to the alert webhook, without any payload."""

from __future__ import annotations

import dagster as dg

from mmplatform.errors import Misconfigured, PlatformError
from resources.alerts import Alert, AlertsResource, try_send
from sensors.lineage_events import error_type
from sensors.ticks import SLOW_INTERVAL_S


@dg.run_failure_sensor(
    name="run_failures",
    minimum_interval_seconds=SLOW_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Posts each failed run to MMPLATFORM_ALERT_WEBHOOK_URL: job, run id, type of the error and a link. An "
        "unreachable webhook costs the alert and nothing else."
    ),
)
def run_failures_sensor(context: dg.RunFailureSensorContext, alerts: AlertsResource) -> dg.SkipReason | None:
    """Report one failed run; the skip reason says why no alert was sent."""
    try:
        if not alerts.is_configured():
            return dg.SkipReason("MMPLATFORM_ALERT_WEBHOOK_URL is empty: no alert is sent")
        failure = try_send(alerts, build_alert(context, alerts))
    except Misconfigured:
        raise
    except PlatformError as error:
        failure = f"{type(error).__name__}: {error}"
    return dg.SkipReason(f"alert not sent: {failure}") if failure else None


def build_alert(context: dg.RunFailureSensorContext, alerts: AlertsResource) -> Alert:
    """The alert of a failed run. Raises ``Misconfigured``."""
    run = context.dagster_run
    steps = context.get_step_failure_events()
    error = error_type(steps[0].step_failure_data) if steps else "the run failed before its steps"
    return Alert(job=run.job_name, run_id=run.run_id, error=error, link=alerts.run_link(run.run_id))
