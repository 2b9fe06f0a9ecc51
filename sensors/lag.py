"""The sensor ``lag``: reports when a modality is too far behind and when it has caught up, once each, with an alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg
from pydantic import Field

from assets.checks.lag import LAG, lag_thresholds
from mmplatform.errors import PlatformError
from mmplatform.modalities import MODALITIES
from quality.checks.lag import check_lag
from quality.checks.result import CheckResult
from resources.alerts import AlertsResource, Notice, try_send
from resources.stack import StackResource, Subscription
from sensors.cursors import StateCursor
from sensors.state_changes import StateChange, report_state_changes
from sensors.ticks import SLOW_INTERVAL_S

_TABLES = {str(modality): spec.raw_table for modality, spec in MODALITIES.items()}


class LagCursor(StateCursor):
    """The last reported outcome of each modality."""

    passed: dict[str, bool] = Field(default_factory=dict, alias="low")


@dg.sensor(
    name=LAG,
    minimum_interval_seconds=SLOW_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads from the log how far the derivers of each modality are behind. At the high-water mark, where the "
        "gateway slows its sources, the check `lag` of the raw table fails and MMPLATFORM_ALERT_WEBHOOK_URL gets an "
        "alert; at the low-water mark the check passes again, with another alert."
    ),
)
def lag_sensor(context: dg.SensorEvaluationContext, stack: StackResource, alerts: AlertsResource) -> dg.SensorResult:
    """Report changed outcomes and send an alert for each."""

    def send_alerts(changes: Sequence[StateChange]) -> list[dg.RunRequest]:
        for change in changes:
            if not (change.first and change.result.passed):  # a good start is no alert
                _alert(context, alerts, change)
        return []

    return report_state_changes(
        context,
        LAG,
        tables=_TABLES,
        cursor_type=LagCursor,
        read=lambda passed_before: _read(stack, passed_before),
        react=send_alerts,
        unreadable="the lag cannot be read",
    )


def _read(stack: StackResource, passed_before: Mapping[str, bool]) -> dict[str, CheckResult]:
    subscriptions = {str(modality): Subscription(spec.group, spec.topic) for modality, spec in MODALITIES.items()}
    settings = stack.settings()
    lags = stack.lag(subscriptions.values())
    return {
        modality: check_lag(
            lags[subscription], lag_thresholds(settings, modality), passed_before=passed_before.get(modality)
        )
        for modality, subscription in subscriptions.items()
    }


def _alert(context: dg.SensorEvaluationContext, alerts: AlertsResource, change: StateChange) -> None:
    """Send an alert; an unreachable webhook costs the alert and nothing else."""
    try:
        if not alerts.is_configured():
            return
        state = "has caught up" if change.result.passed else "is too far behind"
        text = f"{change.modality} {state}: {change.result.description}"
        failure = try_send(alerts, Notice(text, alerts.asset_link(_TABLES[change.modality])))
    except PlatformError as error:
        failure = f"{type(error).__name__}: {error}"
    if failure:
        context.log.warning("alert not sent: %s", failure)
