"""Dagster's composition root: the only file that workspace.yaml names.

Nothing is opened on import: resources open their stores when a sensor or an asset uses them. The settings are read, so
that a wrong or renamed one stops the location and not each tick.
"""

from __future__ import annotations

import dagster as dg

from assets import all_assets
from assets.checks import all_checks
from assets.checks.schedules import check_schedules
from assets.maintenance import maintenance_assets, maintenance_schedules
from assets.swap_embedder import swap_embedder
from mmplatform.settings import load
from resources.alerts import AlertsResource
from resources.aws import glue, s3
from resources.blobs import BlobsResource
from resources.embedder_swap import EmbedderSwapResource
from resources.lakehouse import LakehouseResource
from resources.lineage import LineageResource
from resources.models import ModelsResource
from resources.reprocessing import ReprocessingResource
from resources.stack import IndexResource, ReplayLogResource, StackResource
from sensors import all_sensors
from sensors.diagnose_freshness import diagnose_freshness

load()

# Named as resources and passed to others: the UI shows both, and which resource uses which.
_GLUE, _MODELS, _S3 = glue(), ModelsResource(), s3()
_CHECKS = all_checks()

defs = dg.Definitions(
    assets=[*all_assets(), *maintenance_assets()],
    asset_checks=_CHECKS,
    jobs=[diagnose_freshness, swap_embedder],
    schedules=[*check_schedules(_CHECKS), *maintenance_schedules()],
    sensors=all_sensors(),
    # One process for a run: a process for each step would load Dagster, and this file, again for every check.
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
        "swapping": EmbedderSwapResource(),
    },
)
