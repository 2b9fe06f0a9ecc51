"""Dagster's composition root: the only file that workspace.yaml names. ``dagster dev`` shows what is put together here.

Nothing is opened on import: resources open what they stand for when a sensor or an asset asks.
"""

from __future__ import annotations

import dagster as dg

from assets import all_assets
from assets.checks import all_checks
from assets.live_checks import live_checks
from assets.upkeep import upkeep_assets, upkeep_schedules
from resources.alerts import AlertsResource
from resources.lakehouse import LakehouseResource
from resources.lineage import LineageResource
from resources.reprocessing import ReprocessingResource
from resources.stack import StackResource
from sensors import all_sensors
from sensors.diagnosis import diagnose_freshness

defs = dg.Definitions(
    assets=[*all_assets(), *upkeep_assets()],
    asset_checks=[*all_checks(), *live_checks()],
    jobs=[diagnose_freshness],
    schedules=upkeep_schedules(),
    sensors=all_sensors(),
    resources={
        "alerts": AlertsResource(),
        "lakehouse": LakehouseResource(),
        "lineage": LineageResource(),
        "reprocessing": ReprocessingResource(),
        "stack": StackResource(),
    },
)
