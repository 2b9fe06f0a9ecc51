"""The job that says why a modality is stale: which stage is guilty, from the stack's own figures."""
# No deferred annotations here: Dagster looks at those of an op's arguments as they are.

from typing import Any

import dagster as dg
from pydantic import Field

from mmplatform.modalities import MODALITIES
from quality.checks.freshness_breach import Reading, guilty
from resources.failures import failing
from resources.readers.freshness_readings import readings
from resources.stack import StackResource


class Stale(dg.Config):
    """What to look into."""

    modality: str = Field(description="`chat`, `call` or `screenshot`.")


@dg.op(description="Reads what the stack measures now and tells which stage is guilty, as an event of the table.")
def diagnose(context: dg.OpExecutionContext, config: Stale, stack: StackResource) -> None:
    """Name the stage; fails with what is unreachable where nothing can be measured."""
    specs = {str(modality): spec for modality, spec in MODALITIES.items()}
    if config.modality not in specs:
        raise dg.Failure(f"`modality` must be one of {', '.join(specs)}", allow_retries=False)
    with failing("cannot be told: ", retries=False):
        reading = readings(stack)[config.modality]
    name = guilty(reading)
    context.log.info("%s: look at %s", config.modality, name)
    context.log_event(
        dg.AssetObservation(
            specs[config.modality].derived_table, description=f"look at {name}", metadata=_shown(reading, name)
        )
    )


@dg.job(description="Why is a modality stale? Names the guilty stage; started by the sensor `freshness_breach`.")
def diagnose_freshness() -> None:
    """One look."""
    diagnose()


def _shown(reading: Reading, name: str) -> dict[str, dg.MetadataValue[Any]]:
    shares = {stage: round(seconds, 3) for stage, seconds in reading.shares.items()}
    waiting = {
        stage.name: {"lag": stage.backlog.lag, "oldest_s": round(stage.backlog.waiting_s, 1)}
        for stage in reading.stages
    }
    shown: dict[str, dg.MetadataValue[Any]] = {
        "guilty": dg.MetadataValue.text(name),
        "stages_p95_s": dg.MetadataValue.json(shares),
        "waiting": dg.MetadataValue.json(waiting),
    }
    if reading.p99_s is not None:
        shown["gap_p99_s"] = dg.MetadataValue.float(reading.p99_s)
    return shown
