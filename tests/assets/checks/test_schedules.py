"""Checks evaluate themselves: the hour that closed, and the newest one four times an hour."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from assets.checks.schedules import JOB, closed_hour_key
from definitions import defs
from sensors import all_sensors


def requests(name, at):
    repository = defs.get_repository_def()
    tick = dg.build_schedule_context(scheduled_execution_time=at)
    return repository.get_schedule_def(name).evaluate_tick(tick).run_requests


def hourly_operations():
    return {
        definition.node_def.name
        for definition in defs.asset_checks
        if "hour" in getattr(definition.node_def.config_schema.config_type, "fields", {})
    }


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 3, 5, 12, 2, tzinfo=UTC), "2026-03-05-11:00"),
        (datetime(2026, 3, 5, 0, 2, tzinfo=UTC), "2026-03-04-23:00"),
        (datetime(2026, 3, 1, 0, 59, 59, tzinfo=UTC), "2026-02-28-23:00"),
    ],
)
def test_the_closed_hour_is_the_last_whole_one(at, expected):
    assert closed_hour_key(at) == expected


def test_a_closed_hour_is_requested_once_and_every_hourly_check_gets_it():
    [request] = requests("closed_hour_checks", datetime(2026, 3, 5, 12, 2, tzinfo=UTC))
    assert request.run_key == "2026-03-05-11:00", "Dagster starts no second run of a key"
    assert set(request.run_config["ops"]) == hourly_operations()
    assert all(given == {"config": {"hour": "2026-03-05-11:00"}} for given in request.run_config["ops"].values())
    dg.validate_run_config(defs.resolve_job_def(JOB), request.run_config)


def test_the_newest_hour_needs_no_configuration():
    [request] = requests("newest_hour_checks", datetime(2026, 3, 5, 12, 12, tzinfo=UTC))
    dg.validate_run_config(defs.resolve_job_def(JOB), request.run_config)
    assert request.run_config == {}


def test_the_job_evaluates_every_check_of_every_asset():
    keys = defs.resolve_asset_graph().asset_check_keys
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def(JOB)
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        assert {evaluation.asset_check_key for evaluation in result.get_asset_check_evaluations()} == set(keys)


def test_both_schedules_run_without_being_switched_on():
    found = {schedule.name: schedule.default_status for schedule in defs.schedules}
    names = {"closed_hour_checks", "newest_hour_checks"}
    assert {found[name] for name in names} == {dg.DefaultScheduleStatus.RUNNING}
    assert not names & {sensor.name for sensor in all_sensors()}
