"""Alerts of failed runs to a webhook that really listens, hangs, refuses or is missing."""

from __future__ import annotations

import dagster as dg
import pytest

from resources.alerts import ANSWER_S, Alert, AlertsResource, try_send
from sensors.run_failures import run_failures_sensor
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
def webhook(monkeypatch):
    with collecting() as (collector, address):
        monkeypatch.setenv("MMPLATFORM_ALERT_WEBHOOK_URL", f"{address}/hook/token")
        yield collector


def fail_and_report():
    """A run that really fails, and the result of the sensor."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = breaking.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failures",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
        return result.run_id, run_failures_sensor(context, alerts=AlertsResource())


def test_an_alert_of_a_failed_run_has_job_run_error_and_link_and_never_a_text(webhook):
    run_id, skipped = fail_and_report()
    assert skipped is None
    (alert,) = webhook.events
    link = f"http://127.0.0.1:3000/runs/{run_id}"
    assert alert == {
        "text": f"breaking failed: ValueError {link}",
        "job": "breaking",
        "run_id": run_id,
        "error": "ValueError",
        "link": link,
    }
    assert webhook.requests[0][0] == "/hook/token"
    assert SECRET not in str(webhook.events)


def test_a_webhook_that_refuses_costs_the_alert_only(webhook):
    webhook.status = 500
    _, skipped = fail_and_report()
    assert "refused the alert: 500" in skipped.skip_message


def test_a_webhook_that_hangs_is_given_up(webhook, monkeypatch):
    monkeypatch.setattr("resources.alerts.ANSWER_S", 0.3)
    webhook.hang.set()
    assert "ReadTimeout" in try_send(AlertsResource(), ALERT)
    assert ANSWER_S <= 5, "five failed runs in one tick must end within Dagster's 60 s"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/hook/token", "nonsense-token", "ftp://host/token"])
def test_an_unreachable_webhook_is_reported_without_its_address(monkeypatch, url):
    monkeypatch.setenv("MMPLATFORM_ALERT_WEBHOOK_URL", url)
    _, skipped = fail_and_report()
    assert skipped.skip_message.startswith("alert not sent: ")
    assert "token" not in skipped.skip_message


def test_without_a_webhook_no_alert_is_sent():
    _, skipped = fail_and_report()
    assert "MMPLATFORM_ALERT_WEBHOOK_URL is empty" in skipped.skip_message
