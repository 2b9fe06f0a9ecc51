"""The ``lag`` sensor with a real log and a webhook that really listens."""

import dagster as dg
import pytest

from resources.alerts import AlertsResource
from resources.stack import StackResource
from sensors.lag import lag_sensor
from tests.lineage.collector import collecting

pytestmark = pytest.mark.broker


@pytest.fixture(autouse=True)
def thresholds(monkeypatch):
    monkeypatch.setenv("MMPLATFORM_CHAT_HIGH_WATER", "4")
    monkeypatch.setenv("MMPLATFORM_CHAT_LOW_WATER", "1")


@pytest.fixture
def webhook(monkeypatch):
    with collecting() as (collector, address):
        monkeypatch.setenv("MMPLATFORM_ALERT_WEBHOOK_URL", f"{address}/hook/token")
        yield collector


def tick(cursor=None):
    resources = {"stack": StackResource(), "alerts": AlertsResource()}
    with dg.build_sensor_context(cursor=cursor, resources=resources) as context:
        return lag_sensor(context)


def outcomes(result):
    return {event.asset_key.to_user_string(): event.passed for event in result.asset_events or []}


def test_high_water_and_low_water_are_reported_once_each_with_an_alert(stores, webhook):
    first = tick()
    assert outcomes(first) == {"raw_chats": True, "raw_calls": True, "raw_screenshots": True}
    assert webhook.events == [], "a good start is no alert"
    stores.send("interactions.chat", 4)
    high = tick(first.cursor)
    assert outcomes(high) == {"raw_chats": False}
    assert not tick(high.cursor).asset_events
    stores.commit("derive-chat", "interactions.chat", 2)
    assert not tick(high.cursor).asset_events, "between the marks nothing changes"
    stores.commit("derive-chat", "interactions.chat", 3)
    assert outcomes(tick(high.cursor)) == {"raw_chats": True}
    texts = [event["text"] for event in webhook.events]
    assert [text.split(":")[0] for text in texts] == ["chat is too far behind", "chat has caught up"]
    assert texts[0].endswith("/assets/raw_chats")


def test_a_start_in_high_water_is_an_alarm(stores, webhook):
    stores.send("interactions.chat", 9)
    assert outcomes(tick())["raw_chats"] is False
    assert len(webhook.events) == 1


def test_a_webhook_that_refuses_costs_the_alert_only(stores, webhook):
    webhook.status = 500
    stores.send("interactions.chat", 9)
    result = tick()
    assert outcomes(result)["raw_chats"] is False
    assert '"chat":false' in result.cursor


def test_a_log_that_does_not_answer_is_no_low_water(stores, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = tick('{"version":1,"low":{"chat":false}}')
    assert "the lag cannot be read: Unavailable" in result.skip_reason.skip_message
    assert result.cursor is None
    del stores
