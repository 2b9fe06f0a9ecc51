"""Dagster's definitions: every asset, its lineage, its stage and its policy, written out."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from assets import all_assets, all_specs
from assets.partitions import FIRST_HOUR, HOURLY, hour_key
from definitions import defs
from mmplatform.buckets import BUCKET_NAMES
from mmplatform.land.lakehouse.schemas import SPECS as LAKEHOUSE
from mmplatform.modalities import MODALITIES, TABLES
from quality.contracts import CONTRACTS
from quality.slas import ASSET_WINDOWS, MODALITY_SLAS

LIVE = (timedelta(minutes=5), timedelta(minutes=15))
RAW = ("raw_chats", "raw_calls", "raw_screenshots")
# asset: (stage, what it is derived from, (warn, fail) of its freshness policy)
EXPECTED = {
    "raw_chats": ("raw", (), LIVE),
    "raw_calls": ("raw", (), LIVE),
    "raw_screenshots": ("raw", (), LIVE),
    "messages": ("derived", ("raw_chats",), LIVE),
    "transcripts": ("derived", ("raw_calls",), LIVE),
    "captions": ("derived", ("raw_screenshots",), LIVE),
    "passages": ("derived", ("captions", "messages", "transcripts"), LIVE),
    "quarantine": ("derived", tuple(sorted(RAW)), (None, timedelta(days=31))),
    "index": ("index", ("passages",), LIVE),
}
# Daily assets are of another kind: tests/assets/maintenance.
SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs() if spec.group_name != "upkeep"}


def test_the_location_loads_and_holds_exactly_these_assets_with_their_lineage_and_policies():
    found = {
        name: (
            spec.group_name,
            tuple(sorted(dep.asset_key.to_user_string() for dep in spec.deps)),
            (
                spec.freshness_policy.warn_window and spec.freshness_policy.warn_window.to_timedelta(),
                spec.freshness_policy.fail_window.to_timedelta(),
            ),
        )
        for name, spec in SPECS.items()
    }
    assert found == EXPECTED


def test_one_name_for_each_table_everywhere():
    assert set(SPECS) == {*TABLES, "index"}
    assert set(ASSET_WINDOWS) == set(SPECS)
    assert set(CONTRACTS) <= set(TABLES)
    assert set(MODALITY_SLAS) == set(MODALITIES)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_asset_has_a_description_an_owner_and_columns(name):
    spec = SPECS[name]
    assert len(spec.description) > 20
    assert all(owner.startswith("team:") for owner in spec.owners)
    assert spec.owners
    assert spec.kinds
    assert {"stage", "modality", "personal_data"} <= set(spec.tags)
    columns = {column.name: column for column in spec.metadata["dagster/column_schema"].columns}
    assert {"schema_version", "subject_id", "event_time"} <= set(columns)
    assert all(column.type and column.description for column in columns.values())


def test_columns_are_those_of_the_tables_in_the_words_of_the_records():
    for name in TABLES:
        columns = SPECS[name].metadata["dagster/column_schema"].columns
        assert [(column.name, column.type) for column in columns] == list(LAKEHOUSE[name].columns)
        assert [column.name for column in columns if column.constraints.unique] == [LAKEHOUSE[name].id_column]
    words = {
        column.name: column.description for column in SPECS["transcripts"].metadata["dagster/column_schema"].columns
    }
    assert words["confidence"].startswith("mean word probability")
    assert words["taken_at"] == "when the deriver took it from the log"


def test_tables_are_cut_by_hour_and_the_index_by_bucket():
    assert {name for name, spec in SPECS.items() if spec.partitions_def == HOURLY} == set(TABLES)
    assert SPECS["index"].partitions_def.get_partition_keys() == list(BUCKET_NAMES)


def test_the_hour_that_is_running_has_a_partition():
    with partition_loading_context(effective_dt=datetime(2026, 3, 5, 12, 34, tzinfo=UTC)):
        assert HOURLY.get_last_partition_key() == hour_key(datetime(2026, 3, 5, 12, tzinfo=UTC))


def test_hours_before_the_first_have_no_partition():
    assert hour_key(FIRST_HOUR) == "2024-01-01-00:00"
    assert hour_key(FIRST_HOUR - timedelta(hours=1)) is None


def test_every_window_is_one_that_dagster_can_keep():
    assert all(window.fail_s >= 60 for window in ASSET_WINDOWS.values())
    assert all(window.warn_s is None or 60 <= window.warn_s < window.fail_s for window in ASSET_WINDOWS.values())


def test_every_asset_that_the_stream_fills_can_be_filled_again_and_the_quarantine_cannot():
    again = {
        key.to_user_string()
        for each in all_assets()
        if isinstance(each, dg.AssetsDefinition) and each.is_materializable
        for key in each.keys
    }
    assert again == set(TABLES) - {"quarantine"} | {"index"}
    others = [spec for spec in all_specs() if spec.key.to_user_string() not in again]
    assert all(dg.AssetsDefinition(specs=[spec]).is_materializable is False for spec in others)


def test_a_backfill_is_cut_into_runs_of_several_partitions():
    found = {
        key.to_user_string(): each.backfill_policy.max_partitions_per_run
        for each in all_assets()
        if isinstance(each, dg.AssetsDefinition)
        for key in each.keys
    }
    derived, raw = ("messages", "transcripts", "captions", "passages"), ("raw_chats", "raw_calls", "raw_screenshots")
    assert found == {**dict.fromkeys(derived, 6), **dict.fromkeys(raw, 24), "index": 4}


def test_no_two_runs_of_a_kind_go_at_once():
    pools = {each.op.pool for each in all_assets() if isinstance(each, dg.AssetsDefinition)}
    assert pools == {"reprocess", "restore_hours", "rebuild_bucket"}


def test_the_sensors_run_without_being_switched_on():
    found = {sensor.name: sensor.default_status for sensor in defs.sensors}
    names = (
        "landings",
        "complete_up_to",
        "lineage",
        "freshness_breach",
        "quarantine",
        "run_failures",
        "upkeep_due",
        "index_landings",
        "lag",
        "late_data",
        "incomplete_partitions",
    )
    assert found == dict.fromkeys(names, dg.DefaultSensorStatus.RUNNING)


def test_every_asset_has_its_checks_and_only_a_contract_holds_a_run_up():
    keys = defs.resolve_asset_graph().asset_check_keys
    found = {name: {key.name for key in keys if key.asset_key == spec.key} for name, spec in SPECS.items()}
    looked = {"contract", "freshness_gap", "watermark", "completeness", "complete_up_to"}
    traced = {"freshness_breach", "lineage_complete", "redaction_coverage"}
    windows = {"volume", "duplicate_rate", "drift"}
    texts = windows | {"null_rate", "redacted_share"}
    language = {"language_mix"} if "language" in dict(LAKEHOUSE["messages"].columns) else set()
    assert found == {
        "raw_chats": looked | {"lag"} | windows,
        **dict.fromkeys(("raw_calls", "raw_screenshots"), looked | {"lag", "bytes_stored"} | windows),
        "messages": looked | traced | texts | language,
        "transcripts": looked | traced | texts | {"confidence", "language_mix"},
        "captions": looked | traced | texts | language | {"confidence"},
        "passages": looked | {"lineage_complete"},
        "index": {"freshness_gap", "completeness", "complete_up_to", "canaries"},
        "quarantine": {"quarantine_rate", "complete_up_to"},
    }
    specs = [spec for checks in defs.asset_checks for spec in checks.check_specs]
    blocking = {(spec.asset_key.to_user_string(), spec.name) for spec in specs if spec.blocking}
    assert blocking == {(name, "contract") for name in ("messages", "transcripts", "captions", "passages")}
    assert all(len(spec.description) > 20 for spec in specs)


def test_the_page_on_dagster_names_every_check_and_sensor():
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "dagster.md").read_text()
    rows = {line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")}
    checks = {key.name for key in defs.resolve_asset_graph().asset_check_keys}
    assert rows == checks | {sensor.name for sensor in defs.sensors}


@pytest.mark.parametrize("variable", ["MMPLATFORM_KAFKA", "mmplatform_kafka", "MMPLATFORM_CHAT"])
def test_the_location_does_not_load_over_a_setting_that_is_refused(variable):
    """Otherwise each tick would skip, and Dagster would look well."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import definitions"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, variable: "x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 1
    assert "Misconfigured: " in loaded.stderr
    assert variable.upper() in loaded.stderr
