"""Dagster's composition root: the only file that workspace.yaml names. ``dagster dev`` shows what is put together here.

Nothing is opened on import: resources open what they stand for when a sensor or an asset asks.
"""

from __future__ import annotations

import dagster as dg

from assets import all_assets
from assets.checks import all_checks
from assets.live_checks import live_checks
from assets.swapped import swap_embedder
from resources.alerts import AlertsResource
from resources.lakehouse import LakehouseResource
from resources.lineage import LineageResource
from resources.reprocessing import ReprocessingResource
from resources.stack import StackResource
from resources.swapping import SwappingResource
from sensors import all_sensors
from sensors.diagnosis import diagnose_freshness

defs = dg.Definitions(
    assets=all_assets(),
    asset_checks=[*all_checks(), *live_checks()],
    jobs=[diagnose_freshness, swap_embedder],
    sensors=all_sensors(),
    resources={
        "alerts": AlertsResource(),
        "lakehouse": LakehouseResource(),
        "lineage": LineageResource(),
        "reprocessing": ReprocessingResource(),
        "stack": StackResource(),
        "swapping": SwappingResource(),
    },
)
