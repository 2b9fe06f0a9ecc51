"""Runs of single checks of the code location."""

from __future__ import annotations

import dagster as dg

from definitions import defs

HOUR = "2026-03-05-12:00"


def check(asset, name, **config):
    """The evaluation of one check in a run of its own."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), name)
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection={key})
    run_config = {"ops": {f"{asset}_{name}": {"config": config}}}
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, run_config=run_config, raise_on_error=False)
        (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def metadata(evaluation):
    return {name: value.value for name, value in evaluation.metadata.items()}
