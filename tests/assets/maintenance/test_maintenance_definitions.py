"""Specs and schedules of the maintenance assets."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.maintenance import maintenance_assets, maintenance_schedules
from definitions import defs
from quality.slas import DAILY_DEADLINES

SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs() if spec.group_name == "upkeep"}


def test_every_maintenance_asset_has_a_description_an_owner_and_a_deadline():
    assert set(SPECS) == set(DAILY_DEADLINES) == {asset.key.to_user_string() for asset in maintenance_assets()}
    for name, spec in SPECS.items():
        assert len(spec.description) > 20
        assert spec.owners == ["team:platform"]
        assert spec.kinds
        assert {"stage", "modality", "personal_data"} <= set(spec.tags)
        policy = spec.freshness_policy
        assert (policy.deadline_cron, policy.timezone) == (DAILY_DEADLINES[name].deadline_cron, "UTC")
        assert policy.lower_bound_delta == timedelta(seconds=DAILY_DEADLINES[name].within_s)


def test_each_is_started_once_a_day_well_before_its_deadline_without_being_switched_on():
    schedules = {schedule.name: schedule for schedule in maintenance_schedules()}
    assert set(schedules) == {f"{name}_daily" for name in SPECS}
    for name in SPECS:
        schedule = schedules[f"{name}_daily"]
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        assert (schedule.cron_schedule, schedule.execution_timezone) == (DAILY_DEADLINES[name].cron, "UTC")
        minute, hour, *rest = DAILY_DEADLINES[name].cron.split()
        deadline = int(DAILY_DEADLINES[name].deadline_cron.split()[1])
        assert rest == ["*", "*", "*"]
        assert deadline - DAILY_DEADLINES[name].within_s / 3600 <= int(hour) + int(minute) / 60 < deadline


def test_a_report_is_of_the_day_that_ended_and_the_others_are_of_no_day():
    found = {}
    for schedule in maintenance_schedules():
        with dg.build_schedule_context(
            scheduled_execution_time=datetime(2026, 3, 6, 1, 30, tzinfo=UTC), repository_def=defs.get_repository_def()
        ) as context:
            (request,) = schedule.evaluate_tick(context).run_requests
        found[schedule.name] = request.partition_key
    assert {name for name, day in found.items() if day == "2026-03-05"} == {
        "freshness_report_daily",
        "cost_report_daily",
    }
    assert sum(day is None for day in found.values()) == 3


def test_what_rewrites_and_what_deletes_files_never_run_at_once():
    assert {asset.op.pool for asset in maintenance_assets()} == {"upkeep"}
