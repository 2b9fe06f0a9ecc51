"""The freshness check as Dagster runs it, over real tables, a real log and a real index."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.events import utc_now
from tests.assets.checks.check_runs import check, metadata
from tests.land.records import message, passage

pytestmark = pytest.mark.broker


def test_fresh_rows_pass_and_stale_ones_do_not(stores):
    now = utc_now()
    stores.land(message(1, at=now - timedelta(seconds=2)))
    found = check("messages", "freshness_gap")
    assert found.passed
    assert metadata(found)["chat_p50_s"] == 1.0
    late = message(2, at=now - timedelta(hours=2))
    stores.land(late.model_copy(update={"stamps": late.stamps.model_copy(update={"derived_at": now})}))
    assert not check("messages", "freshness_gap").passed, "the event's hour is long past, its row is of now"


def test_a_quiet_hour_is_not_stale(stores):
    stores.land(message(1))
    found = check("messages", "freshness_gap")
    assert found.passed
    assert found.description == "quiet: nothing landed and nothing waits"


def test_a_backlog_is_reported_and_is_no_breach_at_once(stores):
    stores.send("interactions.chat", 3)
    stores.commit("derive-chat", "interactions.chat", 1)
    found = check("messages", "freshness_gap")
    assert found.passed
    assert metadata(found)["lag"] == 2
    assert 0 < metadata(found)["waiting_s"] < 60


def test_a_log_that_does_not_answer_fails_the_check_and_is_named(stores, monkeypatch):
    stores.land(message(1))
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    found = check("messages", "freshness_gap")
    assert not found.passed
    assert "Unavailable" in found.description


def test_without_a_running_stack_the_check_names_the_unreachable_store(stores, monkeypatch):
    stores.land(message(1))
    monkeypatch.delenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS")
    monkeypatch.delenv("MMPLATFORM_CHROMA_URL")
    assert "the replay log is unreachable" in check("messages", "freshness_gap").description
    assert "the index is unreachable" in check("passages", "completeness").description


def logged(row, at):
    return row.model_copy(update={"stamps": row.stamps.model_copy(update={"logged_at": at})})


def test_passages_of_every_modality_are_measured_in_the_index(stores, monkeypatch):
    now = utc_now()
    early = now - timedelta(seconds=9)
    stores.index(logged(passage(1, at=early), early + timedelta(seconds=1)), at=now)
    found = check("index", "freshness_gap")
    assert found.passed, "it was on the log that gateways follow, and waited there for a full write"
    assert metadata(found)["chat_rows"] == 1
    monkeypatch.setenv("MMPLATFORM_TAIL_MAX_BYTES", "0")
    assert not check("index", "freshness_gap").passed, "only the index is searched"
    monkeypatch.delenv("MMPLATFORM_TAIL_MAX_BYTES")
    stores.index(logged(passage(2, at=early), now), at=now)
    assert not check("index", "freshness_gap").passed, "it came late to the log"
