"""The hours of a check: the configured one, the run's, or the newest."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from assets.checks.hours import PARTITION_TAG, RANGE_TAGS, HourConfig, check_hours
from quality.checks.result import CheckResult
from resources.lakehouse import LakehouseResource
from resources.readers.hours import open_hour_reader
from tests.land.records import NOON, chat

pytestmark = pytest.mark.broker


def test_a_run_on_a_bucket_checks_the_newest_hour(stores):
    run = dg.DagsterRun("j", tags={PARTITION_TAG: "b03"})
    stores.land(chat(1))
    hours = open_hour_reader(LakehouseResource())
    assert HourConfig().resolve(hours, "raw_chats", run) == [NOON]
    [hour] = HourConfig().resolve(hours, "raw_chats", dg.DagsterRun("j", tags={PARTITION_TAG: "2026-03-01-09:00"}))
    assert hour < NOON


@pytest.mark.parametrize(
    ("configured", "reason"),
    [
        ("b03", "'b03' is no hour"),
        ("2026-03-05-12:37", "does not begin an hour"),
        ("2999-03-05-12:00", "has not begun"),
    ],
)
def test_a_configured_hour_that_is_no_hour_is_refused_and_not_rounded(stores, configured, reason):
    stores.land(chat(1))
    with pytest.raises(dg.Failure, match=reason):
        HourConfig(hour=configured).resolve(open_hour_reader(LakehouseResource()), "raw_chats", dg.DagsterRun("j"))


def test_a_run_on_several_hours_checks_each_of_them(stores):
    stores.land(chat(1), chat(2, at=NOON + timedelta(hours=2)))
    hours = open_hour_reader(LakehouseResource())
    run = dg.DagsterRun("j", tags=dict(zip(RANGE_TAGS, ("2026-03-05-11:00", "2026-03-05-14:00"), strict=True)))

    def check_hour(hour):
        rows = len(hours.rows("raw_chats", hour))
        return CheckResult(passed=hour.hour != 14, description=f"{rows} rows", metadata={"rows": rows})

    found = check_hours(HourConfig().resolve(hours, "raw_chats", run), check_hour)
    assert not found.passed
    assert found.description == "2026-03-05-14:00: 1 rows"
    assert found.metadata["hours"] == [f"2026-03-05-{hour}:00" for hour in (11, 12, 13, 14)]
    assert found.metadata["hours_that_fail"] == 1
