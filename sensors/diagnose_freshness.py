"""The job ``diagnose_freshness``: names the slowest stage of a stale modality, from the stack's own measurements."""
# No deferred annotations here: Dagster reads those of an op's arguments as they are.

from typing import Any

import dagster as dg
from pydantic import Field

from mmplatform.modalities import MODALITIES
from quality.checks.freshness_breach import FreshnessReading, slowest_stage
from resources.failures import as_dagster_failure
from resources.readers.freshness_readings import read_freshness
from resources.stack import StackResource


class DiagnoseConfig(dg.Config):
    """The stale modality."""

    modality: str = Field(description="`chat`, `call` or `screenshot`.")


@dg.op(description="Reads the stack's measurements and reports the slowest stage as an observation of the table.")
def diagnose(context: dg.OpExecutionContext, config: DiagnoseConfig, stack: StackResource) -> None:
    """Name the stage; fails with the unreachable service when nothing can be measured."""
    specs = {str(modality): spec for modality, spec in MODALITIES.items()}
    if config.modality not in specs:
        raise dg.Failure(f"`modality` must be one of {', '.join(specs)}", allow_retries=False)
    with as_dagster_failure("cannot be diagnosed: ", retries=False):
        reading = read_freshness(stack)[config.modality]
    stage = slowest_stage(reading)
    context.log.info("%s: slowest stage: %s", config.modality, stage)
    context.log_event(
        dg.AssetObservation(
            specs[config.modality].derived_table,
            description=f"slowest stage: {stage}",
            metadata=_metadata(reading, stage),
        )
    )


@dg.job(description="Names the slowest stage of a stale modality; started by the sensor `freshness_breach`.")
def diagnose_freshness() -> None:
    """One diagnosis."""
    diagnose()


def _metadata(reading: FreshnessReading, stage: str) -> dict[str, dg.MetadataValue[Any]]:
    shares = {name: round(seconds, 3) for name, seconds in reading.shares.items()}
    waiting = {
        stage_backlog.name: {
            "lag": stage_backlog.backlog.lag,
            "oldest_s": round(stage_backlog.backlog.waiting_s, 1),
        }
        for stage_backlog in reading.stages
    }
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "guilty": dg.MetadataValue.text(stage),
        "stages_p95_s": dg.MetadataValue.json(shares),
        "waiting": dg.MetadataValue.json(waiting),
    }
    if reading.p99_s is not None:
        metadata["gap_p99_s"] = dg.MetadataValue.float(reading.p99_s)
    return metadata
