"""Dagster on the `dagster.yaml` that `mmplatform up` writes: its runs in a real Postgres, their output in a real S3."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import dagster as dg
import pytest

from mmplatform.local.services.dagster_home import aws_environment, prepare
from mmplatform.settings import load

ONE_RUN = """
import os, sys
import dagster as dg

@dg.op
def speak():
    print("said by", sys.argv[1])

@dg.job
def speaking():
    speak()

with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
    done = speaking.execute_in_process(instance=instance)
print(done.run_id)
"""


@pytest.fixture
def database(postgres_server):
    """An empty one."""
    import psycopg2

    name = f"dagster_{uuid.uuid4().hex[:8]}"
    connection = psycopg2.connect(postgres_server.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield f"{postgres_server.rpartition('/')[0]}/{name}"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


def environment(home, settings):
    """What `mmplatform up` gives the process of Dagster."""
    secret = {"MMPLATFORM_DAGSTER_POSTGRES_URL": settings.dagster_postgres_url.get_secret_value()}
    return aws_environment(settings) | secret | {"DAGSTER_HOME": str(home)}


def start_run(home, settings, name):
    return subprocess.Popen(
        [sys.executable, "-c", ONE_RUN, name],
        env=os.environ | environment(home, settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_id_of(process):
    said, wrong = process.communicate(timeout=120)
    assert process.returncode == 0, wrong
    return said.split()[-1]


def events_of(instance, run_id):
    return [record.event_log_entry.dagster_event_type for record in instance.get_records_for_run(run_id).records]


def test_runs_of_two_processes_at_once_are_there_for_a_third(tmp_path, database, monkeypatch):
    settings = load(dagster_postgres_url=database)
    prepare(tmp_path, settings)
    # On an empty database: both make the tables.
    processes = [start_run(tmp_path, settings, name) for name in ("one", "two")]
    runs = [run_id_of(process) for process in processes]
    monkeypatch.setenv("MMPLATFORM_DAGSTER_POSTGRES_URL", database)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.event_log_storage).__module__.startswith("dagster_postgres")
        assert {run.run_id for run in instance.get_runs()} == set(runs)
        for run_id in runs:
            assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.SUCCESS
            assert dg.DagsterEventType.STEP_SUCCESS in events_of(instance, run_id)
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
    assert list(tmp_path.rglob("*.db")) == []  # nothing of it went to SQLite


@pytest.mark.s3
def test_what_a_step_printed_outlives_the_machine(tmp_path, s3_server, monkeypatch):
    bucket = s3_server.new_bucket()
    settings = load(**s3_server.settings(), dagster_compute_logs_url=f"s3://{bucket}/of/dagster")
    prepare(tmp_path / "first", settings)
    run_id = run_id_of(start_run(tmp_path / "first", settings, "a machine that is gone"))
    keys = [each["Key"] for each in s3_server.client().list_objects_v2(Bucket=bucket)["Contents"]]
    assert all(key.startswith(f"of/dagster/storage/{run_id}/compute_logs/") for key in keys)
    for name, value in aws_environment(settings).items():
        monkeypatch.setenv(name, value)
    prepare(tmp_path / "second", settings)
    with dg.DagsterInstance.from_config(str(tmp_path / "second")) as instance:
        logs = instance.compute_log_manager
        [key] = logs.get_log_keys_for_log_key_prefix([run_id, "compute_logs"], io_type=_stdout())
        assert logs.get_log_data(list(key)).stdout == b"said by a machine that is gone\n"


def _stdout():
    from dagster._core.storage.compute_log_manager import ComputeIOType

    return ComputeIOType.STDOUT


def test_a_run_succeeds_although_its_logs_find_no_store(tmp_path):
    settings = load(
        s3_endpoint="http://127.0.0.1:9",
        s3_access_key="key",
        s3_secret_key="secret",
        dagster_compute_logs_url="s3://nowhere",
    )
    prepare(tmp_path, settings)
    assert run_id_of(start_run(tmp_path, settings, "one"))
