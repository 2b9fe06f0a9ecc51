"""The ``quarantine`` sensor over a real lakehouse in files."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from mmplatform.derive.passages import quarantine
from mmplatform.events import utc_now
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from quality.slas import MAX_QUARANTINED_PER_HOUR
from resources.lakehouse import LakehouseResource
from sensors.quarantine import quarantine_sensor
from tests.builders import arrival, chat
from tests.land.records import position


def tick(data_dir, cursor=None):
    resources = {"lakehouse": LakehouseResource(data_dir=str(data_dir))}
    with dg.build_sensor_context(cursor=cursor, resources=resources) as context:
        return quarantine_sensor(context)


@pytest.fixture
def lakehouse(tmp_path):
    found = Lakehouse.open(load(data_dir=tmp_path))
    found.ensure_tables()
    return found


def quarantine_events(lakehouse, *numbers, reason="text: text not blank", at=None):
    rows = []
    for number in numbers:
        quarantined = quarantine(arrival(chat(number)), contract="raw_chats", reasons=(reason,))
        quarantined = quarantined.model_copy(update={"quarantined_at": at or utc_now()})
        log_position = position(number, topic="quarantine")
        rows.append((log_position, record_to_row(quarantined, log_position)[1]))
    lakehouse.append("quarantine", rows, offsets={}, source="test")


def events(result):
    found = result.asset_events or []
    return (
        [event for event in found if isinstance(event, dg.AssetObservation)],
        [event for event in found if isinstance(event, dg.AssetCheckEvaluation)],
    )


def test_new_rows_are_reported_by_reason_once(tmp_path, lakehouse):
    quarantine_events(lakehouse, 0, 1)
    quarantine_events(lakehouse, 2, reason="text: text without NUL")
    first = tick(tmp_path)
    (observed,), (rate,) = events(first)
    assert observed.metadata["rows"].value == 3
    reasons = {"raw_chats: text: text not blank": 2, "raw_chats: text: text without NUL": 1}
    assert observed.metadata["reasons"].value == reasons
    assert rate.passed
    again = tick(tmp_path, first.cursor)
    assert not again.asset_events
    quarantine_events(lakehouse, 3)
    (observed,), rate = events(tick(tmp_path, again.cursor))
    assert observed.metadata["rows"].value == 1
    assert rate == []


def test_too_many_within_an_hour_fail_the_check_once(tmp_path, lakehouse):
    quarantine_events(lakehouse, *range(MAX_QUARANTINED_PER_HOUR + 1))
    first = tick(tmp_path)
    _, (rate,) = events(first)
    assert not rate.passed
    quarantine_events(lakehouse, MAX_QUARANTINED_PER_HOUR + 1)
    (observed,), rate = events(tick(tmp_path, first.cursor))
    assert observed.metadata["rows"].value == 1
    assert rate == []


def test_the_check_passes_again_when_the_hour_is_over(tmp_path, lakehouse):
    quarantine_events(lakehouse, *range(MAX_QUARANTINED_PER_HOUR + 1), at=utc_now() - timedelta(hours=2))
    cursor = tick(tmp_path).cursor
    failed = cursor.replace('"few":true', '"few":false')
    assert failed != cursor
    observed, (rate,) = events(tick(tmp_path, failed))
    assert observed == []
    assert rate.passed


def test_a_new_table_of_the_old_name_is_reported_from_its_start(tmp_path, lakehouse):
    quarantine_events(lakehouse, 5)
    cursor = tick(tmp_path).cursor
    lakehouse._catalog.drop_table((load().iceberg_namespace, "quarantine"))
    lakehouse = Lakehouse.open(load(data_dir=tmp_path))
    lakehouse.ensure_tables()
    quarantine_events(lakehouse, 0)
    (observed,), _ = events(tick(tmp_path, cursor))
    assert observed.metadata["rows"].value == 1


def test_an_unreadable_lakehouse_is_reported_and_the_cursor_stays(tmp_path, lakehouse, monkeypatch):
    quarantine_events(lakehouse, 0)
    cursor = tick(tmp_path).cursor
    monkeypatch.setenv("MMPLATFORM_ICEBERG_CATALOG", "postgresql+psycopg2://nobody@127.0.0.1:1/none")
    result = tick(tmp_path, cursor)
    assert "the quarantine cannot be read: Unavailable" in result.skip_reason.skip_message
    assert result.cursor is None


def test_without_a_lakehouse_the_tick_is_skipped_and_creates_nothing(tmp_path):
    assert "nothing ever ran here" in tick(tmp_path / "absent").skip_reason.skip_message
    assert list(tmp_path.iterdir()) == []


def test_a_missing_table_never_passes_for_an_empty_one(tmp_path, lakehouse):
    lakehouse._catalog.drop_table((load().iceberg_namespace, "quarantine"))
    assert "there is no table quarantine yet" in tick(tmp_path).skip_reason.skip_message


def test_the_first_tick_reports_the_last_day_only_and_later_ones_all_new_rows(tmp_path, lakehouse):
    quarantine_events(lakehouse, 0, at=utc_now() - timedelta(days=9))
    quarantine_events(lakehouse, 1, at=utc_now() - timedelta(hours=9))
    first = tick(tmp_path)
    (observed,), _ = events(first)
    assert observed.metadata["rows"].value == 1
    quarantine_events(lakehouse, 2, at=utc_now() - timedelta(days=9))
    (observed,), _ = events(tick(tmp_path, first.cursor))
    assert observed.metadata["rows"].value == 1
