"""Runs that really fail: the stored failure has a remedy, and nothing that an error quoted."""

from __future__ import annotations

from contextlib import contextmanager

import dagster as dg
import pytest

from assets.checks.factory import run_check
from assets.maintenance.tables import compaction
from assets.reprocess import reprocess_asset
from assets.swap_embedder import swap_embedder
from mmplatform.errors import Misconfigured, Unavailable
from resources.embedder_swap import EmbedderSwapResource
from resources.failures import as_dagster_failure
from resources.lakehouse import LakehouseResource
from resources.reprocessing import ReprocessingResource
from resources.stack import StackResource
from sensors.diagnose_freshness import diagnose_freshness

SECRET = "what a customer said"


def platform_error():
    """As the adapters do it: the client's error stays the cause, its message is not repeated."""
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        raise Unavailable("index: cannot upsert: try again") from error


def library_error():
    try:
        raise ValueError(SECRET)
    except ValueError:
        raise KeyError(SECRET)  # noqa: B904 - an error during the handling of another one is meant


ERRORS = pytest.mark.parametrize(
    ("fail", "words"),
    [(platform_error, "Unavailable: index: cannot upsert: try again"), (library_error, f"{__file__}:")],
    ids=["platform_error", "library_error"],
)


def stored_events(instance, result):
    """Everything that Dagster's database stores of a run."""
    assert not result.success
    return "\n".join(dg.serialize_value(each) for each in instance.all_logs(result.run_id))


def compacted(instance, tmp_path):
    lakehouse = LakehouseResource(data_dir=str(tmp_path))
    return dg.materialize([compaction], resources={"lakehouse": lakehouse}, instance=instance, raise_on_error=False)


def reprocessed(instance, tmp_path):
    messages = reprocess_asset(
        dg.AssetSpec("messages", partitions_def=dg.HourlyPartitionsDefinition("2026-01-01-00:00"))
    )
    found = {"reprocessing": ReprocessingResource(data_dir=str(tmp_path))}
    return dg.materialize(
        [messages], resources=found, instance=instance, partition_key="2026-01-01-10:00", raise_on_error=False
    )


def swapped(instance, tmp_path):
    config = {"ops": {"build_embedder_index": {"config": {"embedder": "other"}}}}
    resources = {"swapping": EmbedderSwapResource(data_dir=str(tmp_path))}
    return swap_embedder.execute_in_process(config, instance, resources=resources, raise_on_error=False)


def diagnosed(instance, tmp_path):
    config = {"ops": {"diagnose": {"config": {"modality": "chat"}}}}
    resources = {"stack": StackResource(data_dir=str(tmp_path))}
    return diagnose_freshness.execute_in_process(config, instance, resources=resources, raise_on_error=False)


@ERRORS
@pytest.mark.parametrize("started", [compacted, reprocessed, swapped, diagnosed], ids=lambda each: each.__name__)
def test_a_failed_run_has_its_reason_and_nothing_that_an_error_quoted(started, fail, words, tmp_path, monkeypatch):
    @contextmanager
    def opened(*_, **__):
        fail()
        yield

    for resource in (ReprocessingResource, EmbedderSwapResource):
        monkeypatch.setattr(resource, "open", opened)
    monkeypatch.setattr("assets.maintenance.tables.open_lakehouse", lambda _: fail())
    monkeypatch.setattr("sensors.diagnose_freshness.read_freshness", lambda _: fail())
    with dg.DagsterInstance.ephemeral() as instance:
        found = stored_events(instance, started(instance, tmp_path))
    assert words in found
    assert SECRET not in found


def test_a_failed_check_has_nothing_that_an_error_quoted_either():
    @dg.asset_check(asset="messages")
    def looks() -> dg.AssetCheckResult:
        return run_check(library_error)

    with dg.DagsterInstance.ephemeral() as instance:
        job = dg.Definitions(
            asset_checks=[looks],
            jobs=[dg.define_asset_job("look", selection=dg.AssetSelection.checks(looks))],
        ).resolve_job_def("look")
        found = stored_events(instance, job.execute_in_process(instance=instance, raise_on_error=False))
    assert f"{__file__}:" in found
    assert SECRET not in found


def test_only_temporary_errors_are_retried():
    def of(error, **how):
        with pytest.raises(dg.Failure) as found, as_dagster_failure(**how):
            raise error
        return found.value.allow_retries

    assert of(Unavailable("away")) is True
    assert of(KeyError("k")) is True
    assert of(Misconfigured("wrong")) is False
    assert of(Unavailable("away"), retries=False) is False


def test_a_dagster_failure_passes_unchanged():
    with pytest.raises(dg.Failure, match="no such hour"), as_dagster_failure("cannot be checked: "):
        raise dg.Failure("no such hour")
