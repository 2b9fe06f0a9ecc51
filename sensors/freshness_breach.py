"""The sensor that tells when a modality becomes stale, and when it is fresh again: once each, not in every tick."""

from __future__ import annotations

from typing import Final, Literal

import dagster as dg
from pydantic import Field

from assets.checks.live_checks import BREACH, evaluation
from mmplatform.errors import PlatformError
from mmplatform.modalities import MODALITIES
from quality.checks.freshness_breach import stale, turned
from quality.slas import MODALITY_SLAS
from resources.readers.freshness_readings import readings
from resources.stack import StackResource
from sensors.cursors import Remembered
from sensors.diagnose_freshness import diagnose_freshness

EVERY_S: Final = 30


class Cursor(Remembered):
    """Of each modality, whether it was fresh when it was last told. It lies in Dagster's database."""

    version: Literal[1] = 1
    fresh: dict[str, bool] = Field(default_factory=dict)


@dg.sensor(
    name=BREACH,
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    # By name: given as an object, Dagster makes the sensor anew with an argument of its own that it then warns of.
    job_name=diagnose_freshness.name,
    description=(
        "Asks the index worker for the freshness gap and the log for what waits. When a modality's gap is over its "
        "budget, or its watermark stands still while something waits, its check fails and `diagnose_freshness` is "
        "started, once for each breach; when it is over the check passes. A quiet time is not stale."
    ),
)
def freshness_sensor(context: dg.SensorEvaluationContext, stack: StackResource) -> dg.SensorResult:
    """Report what has changed since it was last told; says why when there is nothing to say."""
    cursor = Cursor.parse(context.cursor)
    try:
        found = readings(stack)
    except PlatformError as error:
        return dg.SensorResult(skip_reason=f"freshness cannot be measured: {type(error).__name__}: {error}")
    verdicts = {name: stale(reading, MODALITY_SLAS[name]) for name, reading in found.items()}
    news, fresh = turned(verdicts, cursor.fresh)
    if not news:
        told = "; ".join(f"{name}: {verdict.words}" for name, verdict in verdicts.items())
        return dg.SensorResult(skip_reason=f"no change: {told}")
    tables = {str(modality): spec.derived_table for modality, spec in MODALITIES.items()}
    return dg.SensorResult(
        asset_events=[evaluation(tables[name], BREACH, verdict) for name, verdict in news.items()],
        run_requests=[
            dg.RunRequest(run_config={"ops": {"diagnose": {"config": {"modality": name}}}}, tags={"modality": name})
            for name, verdict in news.items()
            if not verdict.holds
        ],
        cursor=Cursor(fresh=fresh).model_dump_json(),
    )
