"""The ``late_data`` sensor over real tables and a real log, and its pure half."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from assets.partitions import hour_key
from definitions import defs
from mmplatform.derive.passages import quarantine
from mmplatform.events import utc_now
from quality.checks.late_data import filled_gap_markers, needs_reprocessing
from quality.checks.result import CheckResult
from resources.iceberg_commits import TableCommit, TableCommits
from resources.lakehouse import LakehouseResource
from resources.stack import StackResource
from sensors import late_data
from sensors.late_data_hours import CLOSE_DELAY, MAX_WAITING_HOURS, SETTLE_DELAY, LateDataCursor, diff_late_hours
from tests.assets.utterances import utterance
from tests.builders import arrival, chunk
from tests.land.records import NOON, chat, message

HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 5, 20, tzinfo=UTC)
TARGET = "messages"


def tick(cursor=None):
    resources = {"lakehouse": LakehouseResource(), "stack": StackResource()}
    with dg.build_sensor_context(cursor=cursor, resources=resources, definitions=defs) as context:
        return late_data.late_data_sensor(context)


@pytest.fixture
def later(monkeypatch):
    """Ticks happen when what landed has settled."""
    monkeypatch.setattr(late_data, "utc_now", lambda: utc_now() + SETTLE_DELAY)


def observed(result):
    return {
        event.asset_key.to_user_string(): {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_events or []
    }


@pytest.mark.broker
def test_the_hour_of_an_event_without_an_artifact_is_reprocessed_once(stores, later):
    stores.land(chat(1), topic="interactions.chat", offset=0)
    stores.send("interactions.chat", 1)
    stores.commit("derive-chat", "interactions.chat", 1)
    result = tick()
    assert observed(result)["raw_chats"]["late_rows"] == 1
    (request,) = result.run_requests
    snapshot = stores.lakehouse.table("raw_chats").current_snapshot().snapshot_id
    assert request.run_key == f"late:messages:{hour_key(NOON)}:{snapshot}"
    assert request.partition_key == "2026-03-05-12:00"
    assert request.asset_selection == [dg.AssetKey(TARGET)]
    again = tick(result.cursor)
    assert not again.run_requests
    assert not again.asset_events
    del later


@pytest.mark.broker
def test_derived_or_quarantined_events_start_no_run(stores, later):
    events = [chat(1), chat(2)]
    for offset, event in enumerate(events):
        stores.land(event, topic="interactions.chat", offset=offset)
    derived = message(1).model_copy(update={"source": events[0].source})
    stores.land(derived, quarantine(arrival(events[1]), contract="raw_chats", reasons=("text: not blank",)))
    stores.send("interactions.chat", 2)
    stores.commit("derive-chat", "interactions.chat", 2)
    result = tick()
    assert observed(result)["raw_chats"]["late_rows"] == 2
    assert not result.run_requests
    del later


@pytest.mark.broker
def test_an_event_that_waits_for_its_deriver_is_left_to_the_stream(stores, later):
    stores.land(chat(1), topic="interactions.chat", offset=0)
    stores.send("interactions.chat", 1)
    assert not tick().run_requests
    del later


@pytest.mark.broker
def test_the_hour_of_a_filled_gap_marker_is_reprocessed(stores, later):
    mark = utterance(0, status="gap", text="", confidence=0.0)
    stores.land(chunk(0), chunk(1), topic="interactions.call")
    stores.land(mark, utterance(1))
    (request,) = tick().run_requests
    assert request.asset_selection == [dg.AssetKey("transcripts")]
    stores.land(quarantine(arrival(chunk(0)), contract="blob", reasons=("audio: not there",)))
    assert not tick().run_requests, "its audio was refused"
    del later


@pytest.mark.broker
def test_hours_wait_until_rows_have_settled(stores):
    stores.land(chat(1), topic="interactions.chat", offset=0)
    stores.send("interactions.chat", 1)
    stores.commit("derive-chat", "interactions.chat", 1)
    first = tick()
    assert not first.run_requests
    assert LateDataCursor.parse(first.cursor).tables["raw_chats"].waiting


@pytest.mark.broker
def test_a_log_that_does_not_answer_leaves_the_hours_waiting(stores, later, monkeypatch):
    stores.land(chat(1), topic="interactions.chat", offset=0)
    stores.send("interactions.chat", 1)
    stores.commit("derive-chat", "interactions.chat", 1)
    address = stores.settings.kafka_bootstrap_servers
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = tick()
    assert observed(result)["raw_chats"]["late_rows"] == 1, "late rows are reported all the same"
    assert not result.run_requests
    again = tick(result.cursor)
    assert "late hours cannot be checked: Unavailable" in again.skip_reason.skip_message
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", address)
    assert len(tick(again.cursor).run_requests) == 1
    del later


def test_with_an_unreadable_lakehouse_the_cursor_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MMPLATFORM_ICEBERG_CATALOG", "postgresql+psycopg2://nobody@127.0.0.1:1/none")
    result = tick()
    assert "the lakehouse cannot be read: Unavailable" in result.skip_reason.skip_message
    assert result.cursor is None


def log(*hours, at=NOW, sequence=1):
    return TableCommits("u", sequence, (TableCommit(9, sequence, at, dict.fromkeys(hours, 2), None),))


def test_an_hour_is_late_once_it_has_closed():
    open_still, closed = NOW - HOUR, NOW - HOUR - CLOSE_DELAY
    found, _ = diff_late_hours({"raw_chats": log(open_still)}, LateDataCursor(), NOW)
    assert found == {}
    found, _ = diff_late_hours({"raw_chats": log(closed)}, LateDataCursor(), NOW)
    assert found["raw_chats"].rows == {closed: 2}


def test_an_import_of_years_has_few_waiting_hours_and_reports_the_number_skipped():
    history = [NOW - 2 * HOUR - HOUR * number for number in range(9_000)]
    found, cursor = diff_late_hours({"raw_chats": log(*history)}, LateDataCursor(), NOW)
    assert len(cursor.tables["raw_chats"].waiting) == MAX_WAITING_HOURS
    assert found["raw_chats"].skipped == 9_000 - MAX_WAITING_HOURS
    assert len(cursor.model_dump_json()) < 10_000
    later = NOW + SETTLE_DELAY
    assert len(cursor.settled(later, limit=4)) == 4


def test_the_first_tick_ignores_old_commits():
    found, cursor = diff_late_hours({"raw_chats": log(NOW - 9 * HOUR, at=NOW - 2 * HOUR)}, LateDataCursor(), NOW)
    assert found == {}
    later, _ = diff_late_hours({"raw_chats": log(NOW - 9 * HOUR, at=NOW - 2 * HOUR, sequence=2)}, cursor, NOW)
    assert later["raw_chats"].rows == {NOW - 9 * HOUR: 2}, "after a pause it is"


def test_rows_that_were_only_replaced_are_not_late():
    commit = replace(log(NOW - 9 * HOUR).commits[0], rows={NOW - 9 * HOUR: 0}, replaced={NOW - 9 * HOUR: 2})
    found, _ = diff_late_hours({"raw_chats": TableCommits("u", 1, (commit,))}, LateDataCursor(), NOW)
    assert found == {}


def test_further_rows_postpone_the_check_and_a_check_removes_the_hour():
    hour = NOW - 9 * HOUR
    _, cursor = diff_late_hours({"raw_chats": log(hour)}, LateDataCursor(), NOW)
    _, cursor = diff_late_hours({"raw_chats": log(hour, at=NOW + HOUR / 60, sequence=2)}, cursor, NOW + HOUR / 60)
    cursor = LateDataCursor.parse(cursor.model_dump_json())
    assert cursor.settled(NOW + SETTLE_DELAY, limit=4) == []
    ((table, found, _),) = cursor.settled(NOW + SETTLE_DELAY + HOUR / 60, limit=4)
    assert (table, found) == ("raw_chats", hour)
    assert cursor.without([(table, hour)]).tables["raw_chats"].waiting == {}


def test_a_gap_marker_is_filled_by_overlapping_audio_of_its_own_call():
    mark = {"artifact_id": "m", "conversation_id": "c", "start_s": 2.0, "end_s": 3.0}

    def piece(call, start):
        return {"conversation_id": call, "start_s": start, "duration_s": 1.0}

    assert filled_gap_markers([mark], [piece("c", 2.5)]) == ["m"]
    assert filled_gap_markers([mark], [piece("c", 1.0), piece("c", 3.0), piece("other", 2.0)]) == []
    assert filled_gap_markers([mark], [{"conversation_id": "c", "start_s": None, "duration_s": None}]) == []


def test_an_hour_needs_reprocessing_for_a_missing_artifact_or_a_filled_gap_marker():
    well = CheckResult(passed=True, description="", metadata={"missing": 0})
    assert not needs_reprocessing(well, [])
    assert needs_reprocessing(well, ["m"])
    assert needs_reprocessing(CheckResult(passed=False, description="", metadata={"missing": 1}), [])


def test_an_unreadable_cursor_starts_again():
    assert LateDataCursor.parse("nonsense") == LateDataCursor.parse(None) == LateDataCursor()
