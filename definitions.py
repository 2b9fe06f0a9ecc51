"""Dagster's composition root: the only file that workspace.yaml names. ``dagster dev`` shows what is put together here.

Nothing is opened on import: resources open what they stand for when a sensor or an asset asks.
"""

from __future__ import annotations

import dagster as dg

from assets import all_assets
from resources.lakehouse import LakehouseResource
from resources.lineage import LineageResource
from resources.reprocessing import ReprocessingResource
from sensors import all_sensors

defs = dg.Definitions(
    assets=all_assets(),
    sensors=all_sensors(),
    resources={"lakehouse": LakehouseResource(), "lineage": LineageResource(), "reprocessing": ReprocessingResource()},
)
