"""The watermark check as Dagster runs it, over real tables and a real log."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.events import utc_now
from mmplatform.kafka.producer import LogProducer
from resources import stack
from tests.assets.checks.check_runs import HOUR, check, metadata
from tests.land.records import NOON, chat, message

pytestmark = pytest.mark.broker


def test_a_watermark_that_is_behind_without_a_backlog_passes(stores):
    stores.land(chat(1), chat(2, at=NOON + timedelta(minutes=5)), message(1))
    found = check("messages", "watermark")
    assert found.passed
    assert metadata(found)["behind_s"] == 300.0
    assert metadata(found)["hour"] == HOUR
    stores.land(message(2, at=NOON + timedelta(minutes=5)))
    assert check("messages", "watermark").description == "up to its source"


def test_a_watermark_with_a_stalled_backlog_fails(stores, monkeypatch):
    stores.land(chat(1))
    producer = LogProducer(stores.settings)
    topic = f"{stores.settings.topic_prefix}interactions.chat"
    producer.send(topic, "c", b"{}").result(20)
    producer.close()
    monkeypatch.setattr(stack, "utc_now", lambda: utc_now() + timedelta(seconds=100))
    found = check("messages", "watermark")
    assert not found.passed
    assert "1 wait" in found.description


def test_an_up_to_date_watermark_needs_no_log(stores, monkeypatch):
    stores.land(chat(1), message(1))
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert check("messages", "watermark").passed
    stores.land(chat(2, at=NOON + timedelta(minutes=5)))
    found = check("messages", "watermark")
    assert not found.passed
    assert "cannot be checked: Unavailable" in found.description


def test_an_event_of_the_future_is_named(stores):
    stores.land(chat(1, at=utc_now() + timedelta(hours=2)))
    found = check("raw_chats", "watermark")
    assert not found.passed
    assert "in the future" in found.description
