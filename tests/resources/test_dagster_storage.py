"""Pruning of real Dagster instances: on SQLite, and on Postgres where it is installed."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable

from resources.dagster_storage import ShrinkResult, prune, shrink
from tests.servers.postgres import running_postgres

HOURS = dg.HourlyPartitionsDefinition(start_date=datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """An empty instance: creating its databases takes seconds, copying them none."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(home)) as created, created.event_log_storage.run_connection(""):
        pass
    return home


@pytest.fixture
def instance(fresh, tmp_path):
    shutil.copytree(fresh, tmp_path / "home")
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as opened:
        yield opened


@dg.asset(partitions_def=HOURS)
def hourly() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.op
def nothing() -> None:
    """Leaves a run and nothing else."""


@dg.job
def looks() -> None:
    nothing()


def report(instance, partition, rows):
    materialization = dg.AssetMaterialization("table", partition=partition, metadata={"rows": rows, "text": "x" * 2000})
    instance.report_runless_asset_event(materialization)


def soon():
    """Later than everything so far."""
    return datetime.now(UTC) + timedelta(seconds=1)


def rows_of(instance, table=SqlEventLogStorageTable):
    with instance.event_log_storage.index_connection() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()


def newest(instance, partition):
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("table"), asset_partitions=[partition]), limit=10
    )
    return [record.asset_materialization.metadata["rows"].value for record in found.records]


def test_the_newest_materialization_of_each_partition_stays(instance):
    for rows in range(4):
        report(instance, "2026-03-01-09:00", rows)
        report(instance, "2026-03-01-10:00", 10 + rows)
    done = prune(instance, soon())
    assert (newest(instance, "2026-03-01-09:00"), newest(instance, "2026-03-01-10:00")) == ([3], [13])
    assert instance.get_materialized_partitions(dg.AssetKey("table")) == {"2026-03-01-09:00", "2026-03-01-10:00"}
    assert instance.get_latest_materialization_event(dg.AssetKey("table")).asset_materialization.partition is not None
    assert done.events == 12, "six from the index and their six copies"
    assert done.event_bytes > 12 * 2000
    assert prune(instance, soon()).events == 0


def test_what_is_younger_stays(instance):
    report(instance, "2026-03-01-09:00", 1)
    time.sleep(0.05)
    between = datetime.now(UTC)
    time.sleep(0.05)
    report(instance, "2026-03-01-09:00", 2)
    report(instance, "2026-03-01-09:00", 3)
    prune(instance, between)
    assert newest(instance, "2026-03-01-09:00") == [3, 2]


def test_observations_and_checks_leave_their_newest(instance):
    for rows in range(3):
        instance.report_runless_asset_event(dg.AssetObservation("table", metadata={"rows": rows}))
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=dg.AssetKey("table"), check_name="kept", passed=rows == 2)
        )
    done = prune(instance, soon())
    key = dg.AssetCheckKey(dg.AssetKey("table"), "kept")
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert (done.checks, [each.event.asset_check_evaluation.passed for each in history]) == (2, [True])
    (only,) = instance.fetch_observations(dg.AssetKey("table"), limit=10).records
    assert only.asset_observation.metadata["rows"].value == 2


def test_an_old_run_goes_with_its_events_and_its_file(instance):
    first = looks.execute_in_process(instance=instance).run_id
    last = looks.execute_in_process(instance=instance).run_id
    path = Path(instance.event_log_storage.path_for_shard(first))
    assert path.exists()
    done = prune(instance, soon())
    assert (done.runs, done.retained_runs) == (1, 1)
    assert instance.get_run_by_id(first) is None
    assert not path.exists()
    assert instance.get_run_by_id(last) is not None, "it has the last event of all, whose number must not come again"


def test_a_run_that_filled_a_partition_stays_until_another_one_did(instance):
    def materialize(partition):
        return dg.materialize([hourly], partition_key=partition, instance=instance).run_id

    first, second = materialize("2026-03-01-09:00"), materialize("2026-03-01-10:00")
    prune(instance, soon())
    assert all(instance.get_run_by_id(run_id) for run_id in (first, second))
    again = materialize("2026-03-01-09:00")
    prune(instance, soon())
    assert instance.get_run_by_id(first) is None
    assert all(instance.get_run_by_id(run_id) for run_id in (second, again))
    assert instance.get_materialized_partitions(hourly.key) == {"2026-03-01-09:00", "2026-03-01-10:00"}


def test_a_run_that_has_not_ended_stays(instance):
    run = instance.create_run_for_job(looks)
    looks.execute_in_process(instance=instance)
    prune(instance, soon())
    assert instance.get_run_by_id(run.run_id) is not None


def test_the_files_give_their_bytes_back_and_others_can_still_write(instance):
    for rows in range(30):
        report(instance, "2026-03-01-09:00", rows)
    prune(instance, soon())
    done = shrink(instance)
    assert done.busy == ()
    assert done.before - done.after > 30 * 2000
    report(instance, "2026-03-01-09:00", 31)
    assert newest(instance, "2026-03-01-09:00") == [31, 29]


def test_the_file_of_ticks_is_left_alone_when_copying_it_would_hold_the_daemon_up(instance):
    ticks = Path(instance.root_directory) / "schedules" / "schedules.db"
    with closing(sqlite3.connect(ticks)) as connection, connection:
        connection.execute("CREATE TABLE ballast (bytes BLOB)")
        connection.execute("INSERT INTO ballast VALUES (zeroblob(2000000))")
        connection.execute("DELETE FROM ballast")
    limit = ticks.stat().st_size - 1
    assert shrink(instance, max_ticks_bytes=limit).skipped == ("schedules.db",)
    assert ticks.stat().st_size == limit + 1
    assert shrink(instance, max_ticks_bytes=limit + 1).skipped == ()
    assert ticks.stat().st_size < limit - 1_000_000


def test_on_postgres_the_same_goes_and_the_same_stays(tmp_path):
    with running_postgres() as address:
        yaml = f"telemetry:\n  enabled: false\nstorage:\n  postgres:\n    postgres_url: {address}\n"
        (tmp_path / "dagster.yaml").write_text(yaml)
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            for rows in range(3):
                report(instance, "2026-03-01-09:00", rows)
                report(instance, "2026-03-01-10:00", 10 + rows)
            first, last = (looks.execute_in_process(instance=instance).run_id for _ in range(2))
            done = prune(instance, soon())
            assert (done.runs, done.events) == (1, 4), "there is one row for each event"
            assert (newest(instance, "2026-03-01-09:00"), newest(instance, "2026-03-01-10:00")) == ([2], [12])
            assert (instance.get_run_by_id(first), instance.get_run_by_id(last) is not None) == (None, True)
            assert shrink(instance) == ShrinkResult(), "Postgres does that by itself"


def test_tags_go_with_their_events(instance):
    for _ in range(3):
        instance.report_runless_asset_event(
            dg.AssetMaterialization("table", partition="2026-03-01-09:00", tags={"dagster/data_version": "1"})
        )
    assert rows_of(instance, AssetEventTagsTable) == 3
    prune(instance, soon())
    assert (rows_of(instance), rows_of(instance, AssetEventTagsTable)) == (1, 1)
