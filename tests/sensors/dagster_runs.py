"""Real Dagster runs of small assets with the names of the platform's."""

from __future__ import annotations

import dagster as dg

from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.lineage.datasets import Datasets
from mmplatform.settings import load
from sensors.lineage_events import LineageContext

HOURLY = dg.HourlyPartitionsDefinition(start_date="2026-03-01-00:00")
WAREHOUSE = "s3://lake"
NAMESPACE = f"{WAREHOUSE}/mmplatform"
HOUR = "2026-03-01-09:00"


@dg.asset(deps=["raw_chats"], partitions_def=HOURLY, check_specs=[dg.AssetCheckSpec("nothing_lost", asset="messages")])
def messages():
    return dg.MaterializeResult(
        metadata={"rows": 3, "bytes": 500},
        check_results=[dg.AssetCheckResult(check_name="nothing_lost", passed=False, metadata={"row": "a secret"})],
    )


@dg.asset(deps=[messages], partitions_def=HOURLY)
def passages():
    return dg.MaterializeResult(metadata={"dagster/row_count": 7})


@dg.asset(deps=["raw_calls"], partitions_def=HOURLY)
def transcripts():
    raise ValueError("a secret text")


@dg.asset
def report():
    return dg.MaterializeResult()


@dg.asset_check(asset="messages")
def gap_small():
    return dg.AssetCheckResult(passed=True, severity=dg.AssetCheckSeverity.WARN)


@dg.op
def look():
    """Makes no asset."""


@dg.job
def looking():
    look()


DEFS = dg.Definitions(
    assets=[messages, passages, transcripts, report, dg.AssetSpec("raw_chats"), dg.AssetSpec("raw_calls")],
    asset_checks=[gap_small],
    jobs=[
        looking,
        dg.define_asset_job("chats", selection=["messages", "passages"]),
        dg.define_asset_job("calls", selection=["transcripts"]),
        dg.define_asset_job("reports", selection=["report"]),
    ],
)


def lineage_context(**given):
    settings = load(iceberg_warehouse=WAREHOUSE, **given)
    datasets = Datasets(settings, {name: spec.columns for name, spec in SPECS.items()})
    return LineageContext(settings.openlineage_namespace, datasets)


def execute(instance, job, hour=HOUR):
    """The id of a real run, which may have failed."""
    keys = {"partition_key": hour} if job in {"chats", "calls"} else {}
    found = DEFS.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False, **keys)
    return found.run_id
