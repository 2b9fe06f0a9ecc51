"""The sensor ``upkeep_due`` with a real instance, and Dagster's own evaluator of policies on the days that follow."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.definitions.freshness_evaluator import CronFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import freeze_time

from assets.maintenance import maintenance_assets
from quality.slas import DAILY_DEADLINES, next_deadline
from sensors.upkeep_due import upkeep_due_sensor

FIRST_DAY = datetime(2026, 3, 5, 10, tzinfo=UTC)


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


def tick(instance, at):
    """The names that a tick reports; they are stored as the daemon stores them."""
    with freeze_time(at), dg.build_sensor_context(instance=instance) as context:
        events = upkeep_due_sensor(context).asset_events or []
        for event in events:
            instance.report_runless_asset_event(event)
    return {event.asset_key.to_user_string() for event in events}


def states(instance, at):
    """The state of each policy at a time."""
    found = {}
    for asset in maintenance_assets():
        for spec in asset.specs:
            node = SimpleNamespace(key=spec.key, freshness_policy_or_from_metadata=spec.freshness_policy)
            with freeze_time(at):
                evaluation = CronFreshnessPolicyEvaluator().evaluate_freshness(LoadingContextForTest(instance), node)
                found[spec.key.to_user_string()] = asyncio.run(evaluation).value
    return found


def test_on_the_first_day_nothing_is_unknown_and_from_the_first_deadline_on_only_runs_count(instance):
    assert set(states(instance, FIRST_DAY).values()) == {"UNKNOWN"}
    assert tick(instance, FIRST_DAY) == set(DAILY_DEADLINES)
    assert tick(instance, FIRST_DAY + timedelta(hours=1)) == set(), "once"
    for later in (FIRST_DAY + timedelta(minutes=1), FIRST_DAY + timedelta(hours=19, minutes=59)):
        assert set(states(instance, later).values()) == {"PASS"}
    assert set(states(instance, FIRST_DAY + timedelta(hours=20, minutes=1)).values()) == {"FAIL"}, "no run until six"
    with freeze_time(FIRST_DAY + timedelta(hours=18)):
        instance.report_runless_asset_event(dg.AssetMaterialization("compaction"))
    second_day = states(instance, FIRST_DAY + timedelta(hours=25))
    assert {name for name, state in second_day.items() if state == "PASS"} == {"compaction"}


@pytest.mark.parametrize(
    ("now", "deadline"),
    [
        (FIRST_DAY, datetime(2026, 3, 6, 6, tzinfo=UTC)),
        (datetime(2026, 3, 5, 5, 59, tzinfo=UTC), datetime(2026, 3, 5, 6, tzinfo=UTC)),
        (datetime(2026, 12, 31, 6, tzinfo=UTC), datetime(2027, 1, 1, 6, tzinfo=UTC)),
    ],
)
def test_the_next_deadline_is_today_or_tomorrow(now, deadline):
    assert next_deadline(DAILY_DEADLINES["compaction"], now) == deadline
