"""Runs that fail, for real: what Dagster keeps of it tells what to do, and holds nothing that an error quoted."""

from __future__ import annotations

from contextlib import contextmanager

import dagster as dg
import pytest

from assets.checks.hour_checks import told
from assets.maintenance.tables import compaction
from assets.reprocess import reprocessed
from assets.swap_embedder import swap_embedder
from mmplatform.errors import Misconfigured, Unavailable
from resources.failures import failing
from resources.lakehouse import LakehouseResource
from resources.reprocessing import ReprocessingResource
from resources.stack import StackResource
from resources.swapping import SwappingResource
from sensors.diagnose_freshness import diagnose_freshness

SECRET = "what a customer said"


def foreseen():
    """As the adapters do it: the client's message is hidden, and stays as what led to ours."""
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        raise Unavailable("index: cannot upsert: try again") from error


def unforeseen():
    try:
        raise ValueError(SECRET)
    except ValueError:
        raise KeyError(SECRET)  # noqa: B904 - an error while another one is handled is what is meant


ERRORS = pytest.mark.parametrize(
    ("fail", "words"),
    [(foreseen, "Unavailable: index: cannot upsert: try again"), (unforeseen, f"{__file__}:")],
    ids=["foreseen", "unforeseen"],
)


def kept(instance, result):
    """Everything that Dagster's database has of a run, as it lies there."""
    assert not result.success
    return "\n".join(dg.serialize_value(each) for each in instance.all_logs(result.run_id))


def compacted(instance, tmp_path):
    lakehouse = LakehouseResource(data_dir=str(tmp_path))
    return dg.materialize([compaction], resources={"lakehouse": lakehouse}, instance=instance, raise_on_error=False)


def made_again(instance, tmp_path):
    messages = reprocessed(dg.AssetSpec("messages", partitions_def=dg.HourlyPartitionsDefinition("2026-01-01-00:00")))
    found = {"reprocessing": ReprocessingResource(data_dir=str(tmp_path))}
    return dg.materialize(
        [messages], resources=found, instance=instance, partition_key="2026-01-01-10:00", raise_on_error=False
    )


def swapped(instance, tmp_path):
    config = {"ops": {"build_beside": {"config": {"embedder": "other"}}}}
    resources = {"swapping": SwappingResource(data_dir=str(tmp_path))}
    return swap_embedder.execute_in_process(config, instance, resources=resources, raise_on_error=False)


def diagnosed(instance, tmp_path):
    config = {"ops": {"diagnose": {"config": {"modality": "chat"}}}}
    resources = {"stack": StackResource(data_dir=str(tmp_path))}
    return diagnose_freshness.execute_in_process(config, instance, resources=resources, raise_on_error=False)


@ERRORS
@pytest.mark.parametrize("started", [compacted, made_again, swapped, diagnosed], ids=lambda each: each.__name__)
def test_a_run_that_fails_says_why_and_keeps_nothing_that_was_quoted(started, fail, words, tmp_path, monkeypatch):
    @contextmanager
    def opened(*_, **__):
        fail()
        yield

    for resource in (ReprocessingResource, SwappingResource):
        monkeypatch.setattr(resource, "open", opened)
    monkeypatch.setattr("assets.maintenance.tables.open_lakehouse", lambda _: fail())
    monkeypatch.setattr("sensors.diagnose_freshness.readings", lambda _: fail())
    with dg.DagsterInstance.ephemeral() as instance:
        found = kept(instance, started(instance, tmp_path))
    assert words in found
    assert SECRET not in found


def test_a_check_keeps_nothing_either():
    @dg.asset_check(asset="messages")
    def looks() -> dg.AssetCheckResult:
        return told(unforeseen)

    with dg.DagsterInstance.ephemeral() as instance:
        job = dg.Definitions(
            asset_checks=[looks],
            jobs=[dg.define_asset_job("look", selection=dg.AssetSelection.checks(looks))],
        ).resolve_job_def("look")
        found = kept(instance, job.execute_in_process(instance=instance, raise_on_error=False))
    assert f"{__file__}:" in found
    assert SECRET not in found


def test_only_what_is_away_for_a_while_is_tried_again():
    def of(error, **how):
        with pytest.raises(dg.Failure) as found, failing(**how):
            raise error
        return found.value.allow_retries

    assert of(Unavailable("away")) is True
    assert of(KeyError("k")) is True
    assert of(Misconfigured("wrong")) is False
    assert of(Unavailable("away"), retries=False) is False


def test_a_failure_of_ours_passes_as_it_is():
    with pytest.raises(dg.Failure, match="no such hour"), failing("cannot be told: "):
        raise dg.Failure("no such hour")
