"""The ``lineage`` sensor over a real Dagster instance and a collector that may be unreachable."""

from __future__ import annotations

import json
from types import SimpleNamespace

import dagster as dg
import pytest

from mmplatform.errors import Misconfigured
from mmplatform.lineage.rotated_file import lineage_file
from resources.lineage import LineageResource
from sensors import lineage as sensor
from sensors.lineage import LineageCursor, lineage_sensor
from tests.lineage.collector import collecting
from tests.lineage.spec import check
from tests.sensors.dagster_runs import execute
from tests.servers.process import free_ports


@pytest.fixture
def collector(monkeypatch):
    with collecting() as (found, address):
        monkeypatch.setenv("MMPLATFORM_OPENLINEAGE_URL", address)
        yield found


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


def tick(instance, cursor=None):
    """One evaluation in a process that knows nothing but the cursor: the skip reason and the cursor after it."""
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"lineage": LineageResource()}) as context:
        result = lineage_sensor(context)
    return result.skip_reason.skip_message, result.cursor or cursor


def states(collector):
    return [(event["job"]["name"], event["eventType"]) for event in map(check, collector.events)]


REPORT = [
    ("dagster.reports", "START"),
    ("dagster.reports.report", "START"),
    ("dagster.reports.report", "COMPLETE"),
    ("dagster.reports", "COMPLETE"),
]


def test_with_lineage_turned_off_the_tick_is_skipped(instance, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_OPENLINEAGE_URL", "off")
    reason, cursor = tick(instance)
    assert "MMPLATFORM_OPENLINEAGE_URL is `off`" in reason
    assert cursor is None


def test_without_a_backend_events_lie_in_the_data_directory_start_before_the_end(instance, monkeypatch, tmp_path):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    _, cursor = tick(instance)
    execute(instance, "reports")
    reason, _ = tick(instance, cursor)
    assert reason == "sent 4 events, 0 refused"
    written = [json.loads(line) for line in lineage_file(tmp_path).read_text().splitlines()]
    assert [(event["job"]["name"], event["eventType"]) for event in written] == REPORT
    assert [check(event) for event in written]


def test_it_begins_with_the_next_run_and_sends_each_event_once(instance, collector):
    execute(instance, "reports")
    reason, cursor = tick(instance)
    assert "begins here" in reason
    execute(instance, "reports")
    reason, cursor = tick(instance, cursor)
    assert reason == "sent 4 events, 0 refused"
    assert states(collector) == REPORT
    reason, after = tick(instance, cursor)
    assert "no run started or ended" in reason
    assert after == cursor
    assert len(collector.events) == 4


def test_an_event_that_was_not_accepted_is_sent_after_a_restart(instance, collector, monkeypatch):
    _, cursor = tick(instance)
    execute(instance, "reports")
    with monkeypatch.context() as patch:
        patch.setenv("MMPLATFORM_OPENLINEAGE_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
        reason, cursor = tick(instance, cursor)
    assert "sent 0 events" in reason
    assert "the rest waits" in reason
    reason, _ = tick(instance, cursor)
    assert states(collector) == REPORT


def test_a_refused_event_does_not_hold_up_the_next_run(instance, collector):
    _, cursor = tick(instance)
    execute(instance, "reports")
    collector.status = 422
    reason, cursor = tick(instance, cursor)
    assert reason == "sent 0 events, 4 refused"
    collector.status = 201
    execute(instance, "reports")
    tick(instance, cursor)
    assert states(collector) == REPORT


def test_a_run_without_lineage_does_not_block_the_next(instance, collector, monkeypatch):
    _, cursor = tick(instance)
    execute(instance, "reports")
    with monkeypatch.context() as patch:
        patch.setattr("sensors.lineage_events.run_events", lambda *_: 1 / 0)
        reason, cursor = tick(instance, cursor)
    assert "sent 0 events" in reason
    assert "no run started" in tick(instance, cursor)[0]
    assert collector.events == []


def test_many_changes_are_sent_in_several_ticks_and_in_order(instance, collector, monkeypatch):
    monkeypatch.setattr(sensor.read_changes, "__defaults__", (1,))
    _, cursor = tick(instance)
    execute(instance, "reports")
    execute(instance, "looking")
    for _ in range(4):
        _, cursor = tick(instance, cursor)
    assert states(collector) == [*REPORT, ("dagster.looking", "START"), ("dagster.looking", "COMPLETE")]
    assert "no run started" in tick(instance, cursor)[0]


def test_a_tick_that_takes_too_long_leaves_the_rest_for_the_next(instance, collector, monkeypatch):
    _, cursor = tick(instance)
    execute(instance, "reports")
    with monkeypatch.context() as patch:
        patch.setattr(sensor, "MAX_SEND_S", 0.0)
        reason, cursor = tick(instance, cursor)
    assert "the rest waits, this took" in reason
    tick(instance, cursor)
    assert states(collector) == REPORT


def test_a_run_that_was_deleted_meanwhile_is_passed_over(instance, collector):
    _, cursor = tick(instance)
    run_id = execute(instance, "reports")
    instance.run_storage.delete_run(run_id)
    reason, cursor = tick(instance, cursor)
    assert reason == "sent 0 events, 0 refused"
    assert collector.events == []


def test_a_wrong_setting_is_named(instance, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_OPENLINEAGE_URL", "ftp://somewhere")
    with pytest.raises(Misconfigured, match="MMPLATFORM_OPENLINEAGE_URL"):
        tick(instance)


def test_an_unreadable_cursor_starts_again():
    assert LineageCursor.parse("no json") is None
    assert LineageCursor.parse(None) is None
    assert LineageCursor.parse(LineageCursor(after=3).model_dump_json()) == LineageCursor(after=3)


def location(name):
    return SimpleNamespace(code_location_origin=SimpleNamespace(location_name=name))


@pytest.mark.parametrize(
    ("run_location", "own_location", "expected"), [("a", "a", True), ("a", "b", False), (None, "b", True)]
)
def test_runs_of_another_code_location_are_its_own_business(run_location, own_location, expected):
    origin = SimpleNamespace(repository_origin=location(run_location)) if run_location else None
    assert sensor._in_same_location(SimpleNamespace(remote_job_origin=origin), location(own_location)) is expected
