"""Lineage events of Dagster's runs, from real logs, each checked against the specification."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from openlineage.client.serde import Serde

from sensors.lineage_events import EVENT_TYPES, run_events
from tests.lineage.spec import check
from tests.sensors.dagster_runs import HOUR, NAMESPACE, execute, lineage_context


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as found:
        yield found


def events_of(instance, run_id, keep=lambda _: True):
    log = [entry for entry in instance.all_logs(run_id) if not entry.is_dagster_event or keep(entry.dagster_event)]
    events = run_events(instance.get_run_by_id(run_id), log, lineage_context())
    return [check(Serde.to_dict(event)) for event in events]


@pytest.fixture(scope="module")
def chats(instance):
    run_id = execute(instance, "chats")
    return run_id, events_of(instance, run_id)


def names(datasets):
    return [(each["namespace"], each["name"]) for each in datasets]


def of_job(events, job, state=None):
    return [event for event in events if event["job"]["name"] == job and state in {None, event["eventType"]}]


def test_a_run_and_its_steps_start_and_complete(chats):
    run_id, events = chats
    assert [(event["job"]["name"], event["eventType"]) for event in events] == [
        ("dagster.chats", "START"),
        ("dagster.chats.messages", "START"),
        ("dagster.chats.messages", "COMPLETE"),
        ("dagster.chats.messages.checks", "START"),
        ("dagster.chats.messages.checks", "COMPLETE"),
        ("dagster.chats.passages", "START"),
        ("dagster.chats.passages", "COMPLETE"),
        ("dagster.chats.messages_gap_small.checks", "START"),
        ("dagster.chats.messages_gap_small.checks", "COMPLETE"),
        ("dagster.chats", "COMPLETE"),
    ]
    assert events[0]["run"]["runId"] == run_id
    assert len({event["run"]["runId"] for event in of_job(events, "dagster.chats.messages")}) == 1


def test_a_steps_parent_is_the_dagster_run(chats):
    run_id, events = chats
    for event in events[1:-1]:
        parent = event["run"]["facets"]["parent"]
        assert (parent["run"]["runId"], parent["job"]["name"]) == (run_id, "dagster.chats")
    assert "parent" not in events[0]["run"]["facets"]


def test_a_step_reads_and_writes_the_tables_that_it_really_did(chats):
    _, events = chats
    (complete,) = of_job(events, "dagster.chats.messages", "COMPLETE")
    assert names(complete["inputs"]) == [(NAMESPACE, "raw_chats")]
    (output,) = complete["outputs"]
    assert names([output]) == [(NAMESPACE, "messages")]
    statistics = output["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (3, 500)
    assert "text" in output["facets"]["columnLineage"]["fields"]
    (later,) = of_job(events, "dagster.chats.passages", "COMPLETE")
    assert names(later["inputs"]) == [(NAMESPACE, "messages")]
    sources = {
        origin["name"]
        for fields in later["outputs"][0]["facets"]["columnLineage"]["fields"].values()
        for origin in fields["inputFields"]
    }
    assert sources == {"messages"}, "only the sources of this run"


def test_checks_become_assertions_on_their_inputs_without_their_metadata(chats):
    _, events = chats
    (own,) = of_job(events, "dagster.chats.messages.checks", "COMPLETE")
    (other,) = of_job(events, "dagster.chats.messages_gap_small.checks", "COMPLETE")
    found = []
    for event in (own, other):
        (asset,) = event["inputs"]
        assert asset["name"] == "messages"
        assert event["outputs"] == []
        (verdict,) = asset["inputFacets"]["dataQualityAssertions"]["assertions"]
        found.append((verdict["assertion"], verdict["success"], verdict["severity"]))
    assert found == [("nothing_lost", False, "error"), ("gap_small", True, "warn")]
    assert "secret" not in repr(events)


def test_a_run_of_an_hour_says_which(chats):
    _, events = chats
    for event in events:
        nominal = event["run"]["facets"]["nominalTime"]
        assert nominal["nominalStartTime"] == "2026-03-01T09:00:00+00:00"
        assert nominal["nominalEndTime"] == "2026-03-01T10:00:00+00:00"
    assert HOUR == "2026-03-01-09:00"


def test_a_failed_step_fails_its_run_and_names_its_planned_outputs(instance):
    events = events_of(instance, execute(instance, "calls"))
    assert [(event["job"]["name"], event["eventType"]) for event in events] == [
        ("dagster.calls", "START"),
        ("dagster.calls.transcripts", "START"),
        ("dagster.calls.transcripts", "FAIL"),
        ("dagster.calls", "FAIL"),
    ]
    step, run = events[2:]
    assert names(step["outputs"]) == [(NAMESPACE, "transcripts")]
    assert names(step["inputs"]) == [(NAMESPACE, "raw_calls")]
    assert "outputStatistics" not in step["outputs"][0].get("outputFacets", {})
    assert step["run"]["facets"]["errorMessage"]["message"] == "ValueError"
    assert run["run"]["facets"]["errorMessage"]["message"] == "STEP_FAILURE"
    assert "secret" not in repr(events)


def test_a_canceled_run_aborts_the_steps_that_were_running(instance):
    run_id = execute(instance, "calls")
    run = instance.get_run_by_id(run_id)
    ends = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    log = [
        entry
        for entry in instance.all_logs(run_id, of_type=set(EVENT_TYPES))
        if entry.dagster_event.event_type not in ends
    ]
    unfinished = run_events(run, log, lineage_context())
    assert [event.eventType.value for event in unfinished] == ["START", "START"]
    canceled = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.RUN_CANCELED.value, job_name="calls", event_specific_data=EngineEventData()
    )
    instance.handle_new_event(
        dg.EventLogEntry(
            error_info=None,
            level=20,
            user_message="",
            run_id=run_id,
            timestamp=log[-1].timestamp + 1,
            job_name="calls",
            dagster_event=canceled,
        )
    )
    log = [
        entry
        for entry in instance.all_logs(run_id, of_type=set(EVENT_TYPES))
        if entry.dagster_event.event_type not in ends
    ]
    states = [check(Serde.to_dict(event))["eventType"] for event in run_events(run, log, lineage_context())]
    assert states == ["START", "START", "ABORT", "ABORT"]


def test_a_run_that_never_started_has_a_start_all_the_same(instance):
    run_id = execute(instance, "calls")
    events = events_of(instance, run_id, lambda event: event.event_type == dg.DagsterEventType.RUN_FAILURE)
    assert [event["eventType"] for event in events] == ["START", "FAIL"]
    assert events[0]["eventTime"] == events[1]["eventTime"]


def test_a_run_without_a_log_has_no_events(instance):
    run_id = execute(instance, "reports")
    assert events_of(instance, run_id, lambda _: False) == []


def test_an_asset_that_is_no_table_has_its_name_and_no_columns(instance):
    events = events_of(instance, execute(instance, "reports"))
    (complete,) = of_job(events, "dagster.reports.report", "COMPLETE")
    (output,) = complete["outputs"]
    assert names([output]) == [("mmplatform", "report")]
    assert output["facets"] == {}
    assert "nominalTime" not in complete["run"]["facets"]


def test_a_job_without_assets_is_a_run_alone(instance):
    events = events_of(instance, execute(instance, "looking"))
    assert [(event["job"]["name"], event["eventType"]) for event in events] == [
        ("dagster.looking", "START"),
        ("dagster.looking", "COMPLETE"),
    ]


def test_a_longer_log_yields_the_same_events_and_more(instance, chats):
    run_id, events = chats
    log = instance.all_logs(run_id, of_type=set(EVENT_TYPES))
    before: list = []
    for length in range(len(log) + 1):
        now = [
            Serde.to_dict(event)["run"]["runId"]
            for event in run_events(instance.get_run_by_id(run_id), log[:length], lineage_context())
        ]
        assert now[:1] == before[:1] or not before
        assert set(before) <= set(now)
        before = now
    assert before == [event["run"]["runId"] for event in events]
