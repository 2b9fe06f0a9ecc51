"""Dagster's own way to S3 and Glue, on a real S3 server: the location as it is, with the stream's settings."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from definitions import defs as without_settings
from mmplatform.errors import Misconfigured
from mmplatform.events import CallChunk
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from resources.aws import GlueResource, glue, s3
from resources.blobs import BlobsResource
from resources.lakehouse import LakehouseResource
from tests.builders import call_end, chunk, position

HOUR = "2026-08-01-10:00"
KEYS = {"access_key_id": "ACCESS_KEY", "secret_access_key": "SECRET_KEY"}


@pytest.fixture
def given(tmp_path, monkeypatch, request):
    """The variables of a stack whose bytes and tables are in S3, or in files."""
    given = {"data_dir": str(tmp_path)}
    if getattr(request, "param", "s3") == "s3":
        server = request.getfixturevalue("s3_server")
        bucket = server.new_bucket()
        given |= server.settings() | {
            "blob_store_url": f"s3://{bucket}/blobs",
            "iceberg_warehouse": f"s3://{bucket}/warehouse",
        }
    for name, value in given.items():
        monkeypatch.setenv(f"MMPLATFORM_{name.upper()}", value)
    return load()


@pytest.fixture
def calls(given):
    """Three pieces of a call and its end, in the table and in the store."""
    store, lakehouse = open_blobs(given), Lakehouse.open(given)
    lakehouse.ensure_tables()
    blobs = [store.put(f"audio of {n}".encode(), media_type="audio/wav") for n in range(3)]
    events: list[CallChunk] = [chunk(n, blob=blob) for n, blob in enumerate(blobs)]
    land(lakehouse, [*events, call_end()])
    return events


def land(lakehouse, events):
    rows = [(position(n), record_to_row(event, position(n))[1]) for n, event in enumerate(events)]
    lakehouse.append("raw_calls", rows, offsets={("interactions.call", 0): len(rows)}, source="archive")


def location():
    """The definitions, built again, as a process of Dagster builds them from its environment."""
    resources = {"blobs": BlobsResource(s3=s3()), "lakehouse": LakehouseResource(glue=glue())}
    return dg.Definitions(
        assets=without_settings.assets,
        asset_checks=without_settings.asset_checks,
        resources={**without_settings.resources, **resources},
    )


def bytes_stored(table="raw_calls"):
    key = dg.AssetCheckKey(dg.AssetKey(table), "bytes_stored")
    job = location().resolve_implicit_global_asset_job_def().get_subset(asset_check_selection={key})
    config = {"ops": {f"{table}_bytes_stored": {"config": {"hour": HOUR}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        (found,) = job.execute_in_process(instance=instance, run_config=config).get_asset_check_evaluations()
    return found


WHEREVER = pytest.mark.parametrize("given", ["files", pytest.param("s3", marks=pytest.mark.s3)], indirect=True)


@WHEREVER
def test_bytes_that_are_there_pass_the_check_with_their_figures(given, calls):
    found = bytes_stored()
    assert found.passed, found.description
    assert {name: found.metadata[name].value for name in ("hour", "events", "blobs", "bytes")} == {
        "hour": HOUR, "events": 3, "blobs": 3, "bytes": sum(each.blob.size for each in calls)
    }  # fmt: skip
    assert bytes_stored("raw_screenshots").description == "no event of this hour has bytes"
    del given


@WHEREVER
def test_bytes_that_are_lost_fail_it_and_the_event_is_named(given, calls):
    open_blobs(given).delete(calls[1].blob)
    found = bytes_stored()
    assert not found.passed
    assert found.metadata["ids"].value == [calls[1].event_id]


@pytest.mark.s3
def test_an_object_that_was_cut_short_fails_it(given, calls, s3_server):
    bucket = given.blob_store_url.split("/")[2]
    s3_server.client().put_object(Bucket=bucket, Key=f"blobs/{calls[0].blob.key}", Body=b"au")
    found = bytes_stored()
    assert (found.passed, found.metadata["of_another_size"].value) == (False, 1)


@pytest.mark.s3
def test_a_wrong_key_is_an_error_and_passes_for_nothing_lost(given, calls, monkeypatch):
    held = BlobsResource(s3=s3())
    monkeypatch.setenv("MMPLATFORM_S3_SECRET_KEY", "wrong")
    # Looked up now, not when it was put together.
    with held.process_config_and_initialize_cm() as ready, pytest.raises(Misconfigured, match="MMPLATFORM_S3"):
        ready.sizes([calls[0].blob])
    del given


@pytest.mark.s3
@pytest.mark.usefixtures("given")
def test_dagster_gets_the_names_of_secrets_and_never_their_values(s3_server):
    config = {
        name: json.dumps(resource._resolved_config_dict, default=str)
        for name, resource in {"blobs": s3(), "lakehouse": glue()}.items()
    }
    for text in config.values():
        assert "MMPLATFORM_S3_SECRET_KEY" in text
        assert s3_server.secret_key not in text
        assert s3_server.access_key not in text


def test_without_settings_awss_default_chain_is_asked(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-chain")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for made in (s3(), glue()):
        client = made.process_config_and_initialize().get_client()
        assert client._request_signer._credentials.access_key == "of-the-chain"
        assert client.meta.region_name == "us-east-1"


@pytest.mark.s3
@pytest.mark.usefixtures("glue_server")
def test_a_glue_catalog_is_opened_with_the_client_of_the_resource(given, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_ICEBERG_CATALOG", "glue://")
    settings = load(iceberg_namespace=f"t{given.data_dir.name.strip('_').replace('-', '_')[:20]}")
    monkeypatch.setenv("MMPLATFORM_ICEBERG_NAMESPACE", settings.iceberg_namespace)
    lakehouse = Lakehouse.open(settings)
    lakehouse.ensure_tables()
    land(lakehouse, [chunk(0)])
    keys = {f"aws_{name}": dg.EnvVar(f"MMPLATFORM_S3_{short}") for name, short in KEYS.items()}
    ours = GlueResource(region_name="us-east-1", max_attempts=3, **keys)
    with LakehouseResource(glue=ours).process_config_and_initialize_cm() as resource:
        opened = resource.open()
        assert opened.scan("raw_calls").num_rows == 1
        assert opened._catalog.glue.meta.config.retries == {"mode": "standard", "total_max_attempts": 4}
