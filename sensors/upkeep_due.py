"""The sensor ``upkeep_due``: a maintenance asset that was never due is complete, which Dagster would call unknown."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import dagster as dg

from mmplatform.events import utc_now
from quality.slas import DAILY_DEADLINES, next_deadline

INTERVAL_S: Final = 3600
"""It has something to report on the first day only."""


@dg.sensor(
    name="upkeep_due",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reports a materialization, without a run and without a partition, of each maintenance asset that has none, "
        "with the deadline of its first run. Dagster's policy passes until that deadline, and is unknown without it. "
        "It reports nothing of an asset that was ever materialized."
    ),
)
def upkeep_due_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Report the assets that were never materialized; the skip reason says that there is none."""
    latest = context.instance.get_latest_materialization_event
    missing = [name for name in DAILY_DEADLINES if latest(dg.AssetKey(name)) is None]
    if not missing:
        return dg.SensorResult(skip_reason="every maintenance asset has a materialization")
    now = utc_now()
    return dg.SensorResult(asset_events=[_not_due(name, next_deadline(DAILY_DEADLINES[name], now)) for name in missing])


def _not_due(asset: str, deadline: datetime) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        asset,
        description=f"not due before {deadline:%Y-%m-%d %H:%M} UTC: this installation is new, and nothing has run yet",
        metadata={"due_at": dg.MetadataValue.timestamp(deadline)},
    )
