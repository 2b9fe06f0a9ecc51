"""Failed runs are told to a webhook that really listens, hangs, refuses or is not there."""

from __future__ import annotations

import dagster as dg
import pytest

from resources.alerts import ANSWER_S, Alert, AlertsResource, attempt
from sensors.run_failures import failures_sensor
from tests.lineage.collector import collecting

SECRET = "what a customer said"
ALERT = Alert(job="j", run_id="r", error="ValueError", link="http://127.0.0.1:3000/runs/r")


@dg.op
def breaks():
    raise ValueError(SECRET)


@dg.job
def breaking():
    breaks()


@pytest.fixture
def told(monkeypatch):
    with collecting() as (found, address):
        monkeypatch.setenv("MMPLATFORM_ALERT_WEBHOOK_URL", f"{address}/hook/token")
        yield found


def fail_and_tell():
    """A run that really fails, and what the sensor makes of it."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = breaking.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failures",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
        return result.run_id, failures_sensor(context, alerts=AlertsResource())


def test_a_failed_run_is_told_with_job_run_error_and_link_and_never_a_text(told):
    run_id, skipped = fail_and_tell()
    assert skipped is None
    (alert,) = told.events
    link = f"http://127.0.0.1:3000/runs/{run_id}"
    assert alert == {
        "text": f"breaking failed: ValueError {link}",
        "job": "breaking",
        "run_id": run_id,
        "error": "ValueError",
        "link": link,
    }
    assert told.requests[0][0] == "/hook/token"
    assert SECRET not in str(told.events)


def test_a_webhook_that_refuses_costs_the_alert_only(told):
    told.status = 500
    _, skipped = fail_and_tell()
    assert "refused the alert: 500" in skipped.skip_message


def test_a_webhook_that_hangs_is_given_up(told, monkeypatch):
    monkeypatch.setattr("resources.alerts.ANSWER_S", 0.3)
    told.hang.set()
    assert "ReadTimeout" in attempt(AlertsResource(), ALERT)
    assert ANSWER_S <= 5, "five failed runs in one tick must end within Dagster's 60 s"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/hook/token", "nonsense-token", "ftp://host/token"])
def test_a_webhook_that_is_not_there_is_told_without_its_address(monkeypatch, url):
    monkeypatch.setenv("MMPLATFORM_ALERT_WEBHOOK_URL", url)
    _, skipped = fail_and_tell()
    assert skipped.skip_message.startswith("not told: ")
    assert "token" not in skipped.skip_message


def test_without_a_webhook_nobody_is_told():
    _, skipped = fail_and_tell()
    assert "MMPLATFORM_ALERT_WEBHOOK_URL is empty" in skipped.skip_message
