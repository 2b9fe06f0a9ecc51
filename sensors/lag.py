"""The sensor that tells when a modality is too far behind, and when it has caught up: once each, with an alert."""

from __future__ import annotations

from typing import Final, Literal

import dagster as dg
from pydantic import Field

from assets.checks.live_checks import evaluation
from assets.checks.table_checks import LAG, marks_of
from mmplatform.errors import PlatformError
from mmplatform.modalities import MODALITIES
from quality.checks.freshness_breach import turned
from quality.checks.lag import water
from quality.checks.verdict import Verdict
from resources.alerts import AlertsResource, Notice, attempt
from resources.stack import Reader, StackResource
from sensors.cursors import Remembered

EVERY_S: Final = 30


class Cursor(Remembered):
    """Of each modality, whether it was low when it was last told. It lies in Dagster's database."""

    version: Literal[1] = 1
    low: dict[str, bool] = Field(default_factory=dict)


@dg.sensor(
    name=LAG,
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks the log how far the derivers of each modality are behind. At the high-water mark, where the gateway "
        "slows its sources, the check `lag` of the raw table fails and MMPLATFORM_ALERT_WEBHOOK_URL is told; at the "
        "low-water mark it passes again, and the webhook hears of that too."
    ),
)
def lag_sensor(context: dg.SensorEvaluationContext, stack: StackResource, alerts: AlertsResource) -> dg.SensorResult:
    """Report what has changed since it was last told; says why when there is nothing to say."""
    cursor = Cursor.parse(context.cursor)
    readers = {str(modality): Reader(spec.group, spec.topic) for modality, spec in MODALITIES.items()}
    try:
        settings = stack.settings()
        lags = stack.lag(readers.values())
    except PlatformError as error:
        return dg.SensorResult(skip_reason=f"the lag cannot be read: {type(error).__name__}: {error}")
    verdicts = {
        name: water(lags[reader], marks_of(settings, name), was_low=cursor.low.get(name))
        for name, reader in readers.items()
    }
    news, low = turned(verdicts, cursor.low)
    if not news:
        told = "; ".join(f"{name}: {verdict.words}" for name, verdict in verdicts.items())
        return dg.SensorResult(skip_reason=f"no change: {told}")
    tables = {str(modality): spec.raw_table for modality, spec in MODALITIES.items()}
    for name, verdict in news.items():
        if cursor.low.get(name, True) != verdict.holds:  # that all is well at the start is nobody's alarm
            _alert(context, alerts, name, tables[name], verdict)
    events = [evaluation(tables[name], LAG, verdict) for name, verdict in news.items()]
    return dg.SensorResult(asset_events=events, cursor=Cursor(low=low).model_dump_json())


def _alert(
    context: dg.SensorEvaluationContext, alerts: AlertsResource, modality: str, table: str, verdict: Verdict
) -> None:
    """Tell; a webhook that is away costs the alert and nothing else."""
    try:
        if not alerts.wanted():
            return
        state = "has caught up" if verdict.holds else "is too far behind"
        trouble = attempt(alerts, Notice(f"{modality} {state}: {verdict.words}", alerts.asset_link(table)))
    except PlatformError as error:
        trouble = f"{type(error).__name__}: {error}"
    if trouble:
        context.log.warning("not told: %s", trouble)
