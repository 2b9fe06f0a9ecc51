"""The upkeep assets materialized on real Iceberg tables; figures against such as were computed by hand."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets.maintenance import maintenance_assets
from assets.maintenance.dagster_storage import event_log
from assets.maintenance.reports import cost_report, freshness_report
from assets.maintenance.tables import compaction, snapshot_expiry
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from resources.lakehouse import LakehouseResource
from tests.land.records import NOON, chat, message, passage, position

DAY = "2026-03-05"


@pytest.fixture
def lakehouse(tmp_path):
    opened = Lakehouse.open(load(data_dir=tmp_path))
    opened.ensure_tables()
    return opened


def land(lakehouse, *records, **changes):
    """In one commit for each table; ``changes`` are columns that the rows get."""
    tables = {}
    for number, record in enumerate(records):
        table, row = record_to_row(record, position(number))
        tables.setdefault(table, []).append((position(number), {**row, **changes}))
    for table, rows in tables.items():
        lakehouse.append(table, rows, offsets={}, source="test")


def materialize(asset, data_dir, day=None, *, config=None, instance=None):
    """The metadata of a run."""
    done = dg.materialize(
        [asset],
        resources={"lakehouse": LakehouseResource(data_dir=str(data_dir))},
        partition_key=day,
        instance=instance,
        raise_on_error=False,
        run_config={"ops": {asset.op.name: {"config": config}}} if config else None,
    )
    if not done.success:
        (failed,) = (event for event in done.all_events if event.is_step_failure)
        return failed.step_failure_data.error.message + str(failed.step_failure_data.user_failure_data)
    (event,) = done.asset_materializations_for_node(asset.op.name)
    return {name: value.value for name, value in event.metadata.items()}


@pytest.mark.parametrize("asset", maintenance_assets()[:4], ids=lambda asset: asset.op.name)
def test_without_a_lakehouse_it_fails_with_the_remedy_and_creates_nothing(asset, tmp_path):
    metadata = materialize(asset, tmp_path / "absent", DAY if asset.partitions_def else None)
    assert "mmplatform up" in metadata
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("asset", maintenance_assets()[:4], ids=lambda asset: asset.op.name)
def test_a_catalog_that_cannot_be_reached_fails_the_run(asset, tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_ICEBERG_CATALOG", "postgresql+psycopg2://nobody@127.0.0.1:1/none")
    assert "Unavailable: lakehouse" in materialize(asset, tmp_path, DAY if asset.partitions_def else None)


def test_compaction_reports_files_and_bytes_of_each_table(tmp_path, lakehouse):
    for number in range(3):
        land(lakehouse, message(number))
    metadata = materialize(compaction, tmp_path)
    assert (metadata["files_before"], metadata["files_after"], metadata["rewritten"], metadata["left"]) == (3, 1, 3, 0)
    assert "rows" not in metadata, "lineage would take it for rows that were written to a dataset"
    assert metadata["bytes_before"] > metadata["bytes_after"] > 0
    assert "| messages | 1 | 0 | 3 | 1 |" in metadata["tables"]
    assert lakehouse.scan("messages").num_rows == 3


def test_snapshot_expiry_deletes_orphans_and_reports_their_bytes(tmp_path, lakehouse):
    land(lakehouse, message(1))
    folder = Path(lakehouse.table("messages").location().removeprefix("file://"))
    old, young = folder / "data" / "crashed.parquet", folder / "data" / "under-way.parquet"
    old.write_bytes(b"x" * 100)
    young.write_bytes(b"y")
    os.utime(old, (0, 0))
    metadata = materialize(snapshot_expiry, tmp_path)
    assert (metadata["orphans"], metadata["orphan_bytes"], metadata["young_left"]) == (1, 100, 1)
    assert (old.exists(), young.exists()) == (False, True)


def test_the_freshness_report_has_the_figures_of_the_stamps(tmp_path, lakehouse):
    # Gaps of 1 s, but for three made later: 1, 1, 3, 4, 5 s against a budget of 2 s.
    land(lakehouse, *(passage(number) for number in range(2)))
    for number, gap in ((2, 3), (3, 4), (4, 5)):
        event_time = NOON + timedelta(hours=1)
        land(lakehouse, passage(number, at=event_time), derived_at=event_time + timedelta(seconds=gap))
    land(lakehouse, passage(9, at=NOON + timedelta(days=1)))  # another day's
    metadata = materialize(freshness_report, tmp_path, DAY)
    assert (metadata["passages"], metadata["chat_rows"]) == (5, 5)
    assert (metadata["chat_p50_s"], metadata["chat_p95_s"], metadata["chat_p99_s"]) == (3.0, 4.8, 4.96)
    assert metadata["chat_share"] == 0.4
    assert "| 12:00 | chat | 2 | 1 | 1 | 1 | 100.00% |" in metadata["report"]
    assert "| 13:00 | chat | 3 | 4 | 4.9 | 4.98 | 0.00% |" in metadata["report"]
    assert "call_rows" not in metadata


def test_a_day_without_events_has_a_report(tmp_path, lakehouse):
    assert lakehouse.table("passages").current_snapshot() is None
    metadata = materialize(freshness_report, tmp_path, DAY)
    assert (metadata["passages"], metadata["report"]) == (0, "Nothing happened on this day.")


def test_the_cost_report_adds_up_what_the_artifacts_say(tmp_path, lakehouse):
    # Each message and each passage took 0.25 s (making.py): 4 chats cost 1 s + 0.5 s; the blobs are of other events.
    land(lakehouse, *(chat(number) for number in range(4)))
    land(lakehouse, *(message(number) for number in range(4)))
    land(lakehouse, passage(0), passage(1))
    sound = {
        "subject_key": "default/ann",
        "event_time": NOON,
        "kind": "call_chunk",
        "blob_size": 100,
        "duration_s": 900.0,
    }
    chunks = [(position(n), {**sound, "raw_id": f"c{n}", "blob_key": f"b{n}"}) for n in range(2)]
    lakehouse.append("raw_calls", chunks, offsets={}, source="test")
    end = {"raw_id": "end", "subject_key": "default/ann", "event_time": NOON, "kind": "call_end"}
    lakehouse.append("raw_calls", [(position(5), end)], offsets={}, source="test")
    spoken = {
        "subject_key": "default/ann",
        "version": "1",
        "event_time": NOON,
        "modality": "call",
        "model": "whisper",
        "model_version": "7",
    }
    words = [(position(n), {**spoken, "artifact_id": f"w{n}", "seconds": 45.0, "memo_hit": False}) for n in range(2)]
    lakehouse.append("transcripts", words, offsets={}, source="test")
    metadata = materialize(cost_report, tmp_path, DAY, config={"machine_hour_price": 3.6})
    assert metadata["chat_seconds"] == pytest.approx(1.5)
    assert metadata["seconds_per_1000_chats"] == pytest.approx(375.0)
    assert metadata["seconds_per_audio_hour"] == pytest.approx(180.0), "90 s for half an hour of audio"
    assert metadata["cost_per_audio_hour"] == pytest.approx(0.18)
    assert "seconds_per_screenshot" not in metadata
    assert metadata["blob_bytes_of_day"] == 200
    files = [task.file for name in ("raw_chats", "raw_calls", "messages", "transcripts", "passages")
             for task in lakehouse.table(name).scan().plan_files()]  # fmt: skip
    assert (metadata["table_rows"], metadata["table_bytes"]) == (15, sum(file.file_size_in_bytes for file in files))
    assert "| call | whisper 7 | 90.000 | 2 | 0 |" in metadata["report"]


def test_without_a_price_the_cost_report_names_none(tmp_path, lakehouse):
    land(lakehouse, chat(1), message(1))
    metadata = materialize(cost_report, tmp_path, DAY)
    assert not [name for name in metadata if name.startswith("cost")]
    assert "cost" not in metadata["report"]


def test_event_log_prunes_the_instance_that_it_runs_on(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for rows in range(3):
            instance.report_runless_asset_event(
                dg.AssetMaterialization("table", partition="2026-03-05-12:00", metadata={"rows": rows})
            )
        assert materialize(event_log, tmp_path, instance=instance)["events"] == 0, (
            "nothing is older than the setting says"
        )
        metadata = materialize(event_log, tmp_path, config={"days": 1e-9}, instance=instance)
        assert (metadata["events"], metadata["files_in_use"], metadata["files_too_large"]) == (4, [], [])
        assert metadata["event_bytes"] > 0
        assert instance.get_materialized_partitions(dg.AssetKey("table")) == {"2026-03-05-12:00"}
