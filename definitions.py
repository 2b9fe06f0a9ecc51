"""Dagster's composition root: the only file that workspace.yaml names. ``dagster dev`` shows what is put together here.

Nothing is opened on import: resources open what they stand for when a sensor or an asset asks.
"""

from __future__ import annotations

import dagster as dg

from assets import all_assets
from assets.checks.blob_checks import blob_checks
from assets.checks.hour_checks import all_checks
from assets.checks.live_checks import live_checks
from assets.checks.table_checks import table_checks
from assets.maintenance import upkeep_assets, upkeep_schedules
from assets.swap_embedder import swap_embedder
from resources.alerts import AlertsResource
from resources.aws import glue, s3
from resources.blobs import BlobsResource
from resources.lakehouse import LakehouseResource
from resources.lineage import LineageResource
from resources.models import ModelsResource
from resources.reprocessing import ReprocessingResource
from resources.stack import IndexResource, ReplayLogResource, StackResource
from resources.swapping import SwappingResource
from sensors import all_sensors
from sensors.diagnose_freshness import diagnose_freshness

# Named as resources and given to others: the UI shows both, and who uses which.
_GLUE, _MODELS, _S3 = glue(), ModelsResource(), s3()

defs = dg.Definitions(
    assets=[*all_assets(), *upkeep_assets()],
    asset_checks=[*all_checks(), *live_checks(), *table_checks(), *blob_checks()],
    jobs=[diagnose_freshness, swap_embedder],
    schedules=upkeep_schedules(),
    sensors=all_sensors(),
    # One process for a run: a second one for each step would load Dagster, and this file, once more for every check.
    executor=dg.in_process_executor,
    resources={
        "alerts": AlertsResource(),
        "blobs": BlobsResource(s3=_S3),
        "glue": _GLUE,
        "index": IndexResource(),
        "lakehouse": LakehouseResource(glue=_GLUE),
        "lineage": LineageResource(),
        "models": _MODELS,
        "replay_log": ReplayLogResource(),
        "reprocessing": ReprocessingResource(models=_MODELS),
        "s3": _S3,
        "stack": StackResource(),
        "swapping": SwappingResource(),
    },
)
