"""The upkeep assets materialized on real Iceberg tables; figures against such as were computed by hand."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets.maintenance import upkeep_assets
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


def made(asset, data_dir, day=None, *, config=None, instance=None):
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


@pytest.mark.parametrize("asset", upkeep_assets()[:4], ids=lambda asset: asset.op.name)
def test_where_nothing_ever_ran_it_fails_with_the_mend_and_makes_nothing(asset, tmp_path):
    told = made(asset, tmp_path / "absent", DAY if asset.partitions_def else None)
    assert "mmplatform up" in told
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("asset", upkeep_assets()[:4], ids=lambda asset: asset.op.name)
def test_a_catalog_that_cannot_be_reached_fails_the_run(asset, tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_ICEBERG_CATALOG", "postgresql+psycopg2://nobody@127.0.0.1:1/none")
    assert "Unavailable: lakehouse" in made(asset, tmp_path, DAY if asset.partitions_def else None)


def test_compaction_says_files_and_bytes_of_each_table(tmp_path, lakehouse):
    for number in range(3):
        land(lakehouse, message(number))
    told = made(compaction, tmp_path)
    assert (told["files_before"], told["files_after"], told["rewritten"], told["left"]) == (3, 1, 3, 0)
    assert "rows" not in told, "lineage would take it for rows that were written to a dataset"
    assert told["bytes_before"] > told["bytes_after"] > 0
    assert "| messages | 1 | 0 | 3 | 1 |" in told["tables"]
    assert lakehouse.scan("messages").num_rows == 3


def test_snapshot_expiry_deletes_orphans_and_says_their_bytes(tmp_path, lakehouse):
    land(lakehouse, message(1))
    folder = Path(lakehouse.table("messages").location().removeprefix("file://"))
    old, young = folder / "data" / "crashed.parquet", folder / "data" / "under-way.parquet"
    old.write_bytes(b"x" * 100)
    young.write_bytes(b"y")
    os.utime(old, (0, 0))
    told = made(snapshot_expiry, tmp_path)
    assert (told["orphans"], told["orphan_bytes"], told["young_left"]) == (1, 100, 1)
    assert (old.exists(), young.exists()) == (False, True)


def test_the_freshness_report_has_the_figures_of_the_stamps(tmp_path, lakehouse):
    # Gaps of 1 s, but for three made later: 1, 1, 3, 4, 5 s against a budget of 2 s.
    land(lakehouse, *(passage(number) for number in range(2)))
    for number, gap in ((2, 3), (3, 4), (4, 5)):
        at = NOON + timedelta(hours=1)
        land(lakehouse, passage(number, at=at), derived_at=at + timedelta(seconds=gap))
    land(lakehouse, passage(9, at=NOON + timedelta(days=1)))  # another day's
    told = made(freshness_report, tmp_path, DAY)
    assert (told["passages"], told["chat_rows"]) == (5, 5)
    assert (told["chat_p50_s"], told["chat_p95_s"], told["chat_p99_s"]) == (3.0, 4.8, 4.96)
    assert told["chat_share"] == 0.4
    assert "| 12:00 | chat | 2 | 1 | 1 | 1 | 100.00% |" in told["report"]
    assert "| 13:00 | chat | 3 | 4 | 4.9 | 4.98 | 0.00% |" in told["report"]
    assert "call_rows" not in told


def test_a_day_without_events_says_so(tmp_path, lakehouse):
    assert lakehouse.table("passages").current_snapshot() is None
    told = made(freshness_report, tmp_path, DAY)
    assert (told["passages"], told["report"]) == (0, "Nothing happened on this day.")


def test_the_cost_report_adds_up_what_the_artifacts_say(tmp_path, lakehouse):
    # Each message and each passage took 0.25 s (making.py): 4 chats cost 1 s + 0.5 s; the blobs are of other events.
    land(lakehouse, *(chat(number) for number in range(4)))
    land(lakehouse, *(message(number) for number in range(4)))
    land(lakehouse, passage(0), passage(1))
    sound = {"subject_id": "ann", "event_time": NOON, "kind": "call_chunk", "blob_size": 100, "duration_s": 900.0}
    chunks = [(position(n), {**sound, "event_id": f"c{n}", "blob_key": f"b{n}"}) for n in range(2)]
    lakehouse.append("raw_calls", chunks, offsets={}, source="test")
    end = {"event_id": "end", "subject_id": "ann", "event_time": NOON, "kind": "call_end"}
    lakehouse.append("raw_calls", [(position(5), end)], offsets={}, source="test")
    spoken = {"subject_id": "ann", "event_time": NOON, "modality": "call", "model": "whisper", "model_version": "7"}
    words = [(position(n), {**spoken, "artifact_id": f"w{n}", "seconds": 45.0, "memo_hit": False}) for n in range(2)]
    lakehouse.append("transcripts", words, offsets={}, source="test")
    told = made(cost_report, tmp_path, DAY, config={"machine_hour_price": 3.6})
    assert told["chat_seconds"] == pytest.approx(1.5)
    assert told["seconds_per_1000_chats"] == pytest.approx(375.0)
    assert told["seconds_per_audio_hour"] == pytest.approx(180.0), "90 s for half an hour of audio"
    assert told["cost_per_audio_hour"] == pytest.approx(0.18)
    assert "seconds_per_screenshot" not in told
    assert told["blob_bytes_of_day"] == 200
    files = [task.file for name in ("raw_chats", "raw_calls", "messages", "transcripts", "passages")
             for task in lakehouse.table(name).scan().plan_files()]  # fmt: skip
    assert (told["table_rows"], told["table_bytes"]) == (15, sum(file.file_size_in_bytes for file in files))
    assert "| call | whisper 7 | 90.000 | 2 | 0 |" in told["report"]


def test_without_a_price_the_cost_report_names_none(tmp_path, lakehouse):
    land(lakehouse, chat(1), message(1))
    told = made(cost_report, tmp_path, DAY)
    assert not [name for name in told if name.startswith("cost")]
    assert "cost" not in told["report"]


def test_event_log_prunes_the_instance_that_it_runs_on(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for rows in range(3):
            instance.report_runless_asset_event(
                dg.AssetMaterialization("table", partition="2026-03-05-12:00", metadata={"rows": rows})
            )
        assert made(event_log, tmp_path, instance=instance)["events"] == 0, "nothing is older than the setting says"
        told = made(event_log, tmp_path, config={"days": 1e-9}, instance=instance)
        assert (told["events"], told["files_in_use"], told["files_too_large"]) == (4, [], [])
        assert told["event_bytes"] > 0
        assert instance.get_materialized_partitions(dg.AssetKey("table")) == {"2026-03-05-12:00"}
