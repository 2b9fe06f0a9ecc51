"""Metadata of a landing besides its rows: replaced rows, freshness gap, lag."""

from datetime import timedelta

import dagster as dg
import pytest

from mmplatform.events import utc_now
from mmplatform.land.lakehouse.maintenance.compaction import compact
from mmplatform.land.lakehouse.replace import Replacement
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from mmplatform.versions import Version
from resources.lakehouse import LakehouseResource
from resources.readers.freshness_gaps import measure_freshness_gaps
from resources.stack import StackResource
from sensors.landings import landings_sensor
from tests.assets.conftest import Stores
from tests.builders import call_end, chunk
from tests.land.records import NOON, chat, message, position


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """Tables alone, without a log."""
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    return Stores(load())


def tick(cursor=None):
    resources = {"lakehouse": LakehouseResource(), "stack": StackResource()}
    with dg.build_sensor_context(cursor=cursor, resources=resources) as context:
        return landings_sensor(context)


def metadata(result):
    return {
        event.asset_key.to_user_string(): {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_events or []
    }


def rederived(number):
    """The same message, made by a later run."""
    return message(number, version=Version(offset=number, derivation=1))


def stored_version(number):
    return message(number).version.sortable


def test_a_row_that_the_archiver_replaces_is_no_new_row(lake):
    lake.land(message(1), message(2))
    before = tick()
    assert (metadata(before)["messages"]["rows"], metadata(before)["messages"]["replaced"]) == (2, 0)
    lake.land(rederived(1), message(3))
    landing = metadata(tick(before.cursor))["messages"]
    assert (landing["rows"], landing["replaced"]) == (1, 1)
    assert lake.lakehouse.scan("messages").num_rows == 3


def test_an_hour_that_was_reprocessed_has_no_new_row_and_no_gap(lake):
    lake.land(message(1), message(2))
    before = tick()
    row = record_to_row(rederived(1), position(1))[1]
    lake.lakehouse.replace("messages", Replacement(NOON, [row], [], {row["artifact_id"]: stored_version(1)}))
    landing = metadata(tick(before.cursor))["messages"]
    assert (landing["rows"], landing["replaced"]) == (0, 1)
    assert "gap_p50_s" not in landing, "its stamps are those of the run, and measure no freshness"


def test_rows_that_reprocessing_adds_are_new(lake):
    lake.land(message(1))
    before = tick()
    row = record_to_row(message(2), position(0))[1]
    lake.lakehouse.replace("messages", Replacement(NOON, [row], [], {}))
    landing = metadata(tick(before.cursor))["messages"]
    assert (landing["rows"], landing["replaced"]) == (1, 0)


def test_a_compaction_is_no_landing(lake):
    lake.land(message(1))
    lake.land(message(2))
    before = tick()
    assert compact(lambda: lake.lakehouse.table("messages"), utc_now()).rewritten == 2
    after = tick(before.cursor)
    assert not after.asset_events
    lake.land(message(3))
    assert metadata(tick(after.cursor))["messages"]["rows"] == 1


def test_the_gap_is_that_of_the_rows_that_landed(lake):
    lake.land(message(1))
    before = tick()
    assert metadata(before)["messages"]["gap_p50_s"] == 1.0
    slow = message(2)
    late = slow.stamps.model_copy(update={"derived_at": NOON + timedelta(seconds=9)})
    lake.land(slow.model_copy(update={"stamps": late}))
    landing = metadata(tick(before.cursor))["messages"]
    assert (landing["gap_p50_s"], landing["gap_p99_s"], landing["gap_rows"]) == (9.0, 9.0, 1)


def test_the_end_of_a_call_is_no_speech_that_a_user_waits_for(lake):
    lake.land(chunk(0), call_end())
    landing = metadata(tick())["raw_calls"]
    assert (landing["rows"], landing["gap_rows"]) == (2, 1)


def test_reading_gaps_ends_in_time_and_passes_files_over_that_are_gone(lake):
    for number in range(3):
        lake.land(chat(number))
    tasks = lake.lakehouse.table("raw_chats").scan().plan_files()
    files = [task.file.file_path for task in tasks]
    resource = LakehouseResource()
    assert len(measure_freshness_gaps(resource, {"raw_chats": ["file:///nowhere/x.parquet", *files]})["raw_chats"]) == 3
    seconds = iter(range(100))
    assert (
        len(
            measure_freshness_gaps(resource, {"raw_chats": files}, within_s=3, clock=lambda: next(seconds))["raw_chats"]
        )
        == 2
    )
    assert measure_freshness_gaps(resource, {"raw_chats": ["file:///nowhere/x.parquet"]}) == {}


@pytest.mark.broker
def test_the_lag_is_reported_when_the_log_answers(stores):
    stores.land(message(1))
    stores.send("interactions.chat", 3)
    stores.commit("derive-chat", "interactions.chat", 1)
    stores.send("artifacts", 2)
    stores.commit("archive", "artifacts", 2)
    assert metadata(tick())["messages"]["lag"] == 2


@pytest.mark.broker
def test_a_log_that_does_not_answer_leaves_the_lag_out_and_the_landing_in(stores, monkeypatch):
    stores.land(message(1))
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    landing = metadata(tick())["messages"]
    assert landing["rows"] == 1
    assert "lag" not in landing


def test_a_lakehouse_opened_by_another_process_counts_replaced_rows_too(lake):
    lake.land(message(1))
    before = tick()
    other = Lakehouse.open(load())
    place = position(7)
    other.append("messages", [(place, record_to_row(rederived(1), place)[1])], offsets={}, source="test")
    landing = metadata(tick(before.cursor))["messages"]
    assert (landing["rows"], landing["replaced"]) == (0, 1)
