"""The ``landings`` sensor over a real lakehouse in files."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from mmplatform.errors import Misconfigured
from mmplatform.events import Position
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from resources.lakehouse import LakehouseResource
from resources.stack import StackResource
from sensors.landings import landings_sensor

NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)


def tick(data_dir, cursor=None):
    """One evaluation in a process that knows nothing but the cursor."""
    own = {"data_dir": str(data_dir)}
    resources = {"lakehouse": LakehouseResource(**own), "stack": StackResource(**own)}
    with dg.build_sensor_context(cursor=cursor, resources=resources) as context:
        return landings_sensor(context)


def placed(number, at):
    subject = f"s{number}"
    row = {"raw_id": f"raw-{number}", "event_id": f"e{number}", "event_time": at}
    row |= {"subject_id": subject, "subject_key": f"default/{subject}"}
    return Position(topic="t", topic_partition=0, offset=number), row


@pytest.fixture
def lakehouse(tmp_path):
    found = Lakehouse.open(load(data_dir=tmp_path))
    found.ensure_tables()
    return found


def land(lakehouse, *rows):
    lakehouse.append("raw_chats", rows, offsets={("t", 0): rows[-1][0].offset + 1}, source="test")


def test_what_landed_is_reported_with_rows_watermark_snapshot_and_hour(tmp_path, lakehouse):
    land(lakehouse, placed(1, NINE), placed(2, NINE + timedelta(minutes=30)))
    result = tick(tmp_path)
    (event,) = result.asset_events
    assert event.asset_key == dg.AssetKey("raw_chats")
    assert event.partition == "2026-03-01-09:00"
    assert event.metadata["rows"].value == 2
    assert "dagster/partition_row_count" not in event.metadata, "these are not all the rows of the hour"
    assert event.metadata["watermark"].value == (NINE + timedelta(minutes=30)).timestamp()
    snapshot = lakehouse.table("raw_chats").current_snapshot()
    assert event.metadata["snapshot_id"].value == str(snapshot.snapshot_id)
    assert event.metadata["bytes"].value == int(snapshot.summary["added-files-size"])
    assert "lag" not in event.metadata, "no stack runs: unknown is not 0"


def test_a_restart_reports_nothing_twice_and_forgets_nothing(tmp_path, lakehouse):
    land(lakehouse, placed(1, NINE))
    cursor = tick(tmp_path).cursor
    again = tick(tmp_path, cursor)
    assert not again.asset_events
    assert "nothing landed" in again.skip_reason.skip_message
    land(lakehouse, placed(2, NINE + timedelta(hours=2)))
    (event,) = tick(tmp_path, again.cursor).asset_events
    assert (event.partition, event.metadata["rows"].value) == ("2026-03-01-11:00", 1)


def test_a_sensor_that_was_off_for_longer_than_snapshots_are_kept_reports_every_row(tmp_path, lakehouse):
    land(lakehouse, placed(1, NINE))
    cursor = tick(tmp_path).cursor
    for number in range(2, 5):
        land(lakehouse, placed(number, NINE + timedelta(hours=number)))
    table = lakehouse.table("raw_chats")
    table.maintenance.expire_snapshots().older_than(datetime.now(UTC) + timedelta(hours=1)).commit()
    assert len(lakehouse.table("raw_chats").metadata.snapshots) == 1
    events = tick(tmp_path, cursor).asset_events
    assert [(event.partition, event.metadata["rows"].value) for event in events] == [
        ("2026-03-01-11:00", 1),
        ("2026-03-01-12:00", 1),
        ("2026-03-01-13:00", 1),
    ]


def test_without_a_lakehouse_the_tick_is_skipped_and_creates_nothing(tmp_path):
    result = tick(tmp_path / "absent")
    assert "no table yet" in result.skip_reason.skip_message
    assert list(tmp_path.iterdir()) == []


def test_empty_tables_are_nothing_to_report(tmp_path, lakehouse):
    assert lakehouse.table("raw_chats").current_snapshot() is None
    assert "nothing landed" in tick(tmp_path).skip_reason.skip_message


def test_an_unreachable_catalog_skips_with_the_reason_and_the_cursor_stays(tmp_path, lakehouse, monkeypatch):
    land(lakehouse, placed(1, NINE))
    cursor = tick(tmp_path).cursor
    monkeypatch.setenv("MMPLATFORM_ICEBERG_CATALOG", "postgresql+psycopg2://nobody@127.0.0.1:1/none")
    result = tick(tmp_path, cursor)
    assert "the lakehouse cannot be read: Unavailable" in result.skip_reason.skip_message
    assert result.cursor is None  # Dagster leaves the cursor as it is


def test_a_damaged_table_never_passes_for_an_empty_one(tmp_path, lakehouse):
    land(lakehouse, placed(1, NINE))
    for manifest in tmp_path.rglob("snap-*.avro"):
        manifest.unlink()
    assert "cannot be read" in tick(tmp_path).skip_reason.skip_message


@pytest.mark.usefixtures("lakehouse")
def test_a_wrong_setting_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_ICEBERG_CATALOG", "mystery://x")
    with pytest.raises(Misconfigured, match="MMPLATFORM_ICEBERG_CATALOG"):
        tick(tmp_path)


def test_dagster_takes_the_events_and_shows_the_hour_as_filled(tmp_path, lakehouse):
    land(lakehouse, placed(1, NINE))
    instance = dg.DagsterInstance.ephemeral()
    for event in tick(tmp_path).asset_events:
        instance.report_runless_asset_event(event)
    assert instance.get_materialized_partitions(dg.AssetKey("raw_chats")) == {"2026-03-01-09:00"}
