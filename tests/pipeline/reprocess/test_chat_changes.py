"""Edited and deleted chats derived again: the run decides as the stream did, and knows what that had forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.chat_memory import InMemoryStore
from mmplatform.land.lakehouse.due_erasures import read_due_erasures
from mmplatform.modalities import CHAT_CHANGE, QUARANTINE_TABLE
from tests.builders import NOW, chat
from tests.derive.test_chat_fold import change, message, text
from tests.pipeline.reprocess.test_reprocess import LONG, Other, World

pytestmark = pytest.mark.models
TABLES = ("messages", "passages", QUARANTINE_TABLE)
LATER = {"event_time": NOW + timedelta(hours=5), "ingested_at": NOW + timedelta(hours=5)}


@pytest.fixture
def world(lakehouse, index, dual_write_index, embedder, redactor):
    return World(lakehouse, index, dual_write_index, embedder, redactor)


def send(world, *events):
    world.stream.send(events, ChatDeriver(*world.models))


def texts(world):
    return {row["event_ids"][0]: row["text"] for row in world.lakehouse.scan("messages").to_pylist()}


def named(world):
    rows = world.lakehouse.scan(QUARANTINE_TABLE).to_pylist()
    return {row["event_id"] for row in rows if row["contract"] == CHAT_CHANGE}


def run_later_hour(world, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("tests.pipeline.reprocess.test_reprocess.NOW", NOW + timedelta(hours=5))
        return world.run()


EVENTS = (
    message(0, text=LONG),
    chat(1),
    chat(2, text="keep me"),
    change("edit", "e0", 0, text="a short text", **LATER),
    change("delete", "d1", 1, **LATER),
    change("edit", "e1", 1, text=text(9), **LATER),
    change("edit", "e7", 7, text=text(7), **LATER),
)


def test_a_run_decides_as_the_stream_did_in_the_hour_of_the_messages_and_in_that_of_the_edits(world, monkeypatch):
    send(world, *EVENTS)
    assert texts(world) == {"chat-0": "a short text", "chat-2": "keep me"}
    assert sorted(world.found().values()) == ["a short text", "keep me"]
    assert named(world) == {"e1", "e7"}
    before = {name: world.rows(name) for name in TABLES}
    assert not world.run().changed
    assert not run_later_hour(world, monkeypatch).changed
    assert {name: world.rows(name) for name in TABLES} == before


def test_a_later_edit_wins_over_a_run_and_a_run_keeps_the_edit(world):
    send(world, *EVENTS[:4])
    world.run(Other)
    assert texts(world)["chat-0"] == "A SHORT TEXT"
    send(world, change("edit", "e9", 0, text="the newest text", **LATER))
    assert texts(world)["chat-0"] == "the newest text"
    assert "the newest text" in world.found().values()
    world.run(Other)
    assert texts(world)["chat-0"] == "THE NEWEST TEXT"


def test_a_run_applies_the_edits_of_a_conversation_that_the_stream_had_forgotten(world, monkeypatch):
    send(world, *EVENTS[:3])
    world.stream.memory = InMemoryStore()
    send(world, *EVENTS[3:5])
    assert texts(world)["chat-1"] == "message number 1"
    assert named(world) == {"e0", "d1"}
    assert world.run().changed
    assert texts(world) == {"chat-0": "a short text", "chat-2": "keep me"}
    assert sorted(world.found().values()) == ["a short text", "keep me"]
    assert run_later_hour(world, monkeypatch).changed
    assert named(world) == set()


def test_a_run_that_has_not_read_a_deletion_does_not_lift_its_message_above_it(world, monkeypatch):
    send(world, *EVENTS[:2])
    archive = world.stream.archive
    with monkeypatch.context() as patched:  # the archiver has the retraction, and not yet the deletion itself
        patched.setattr(
            world.stream,
            "archive",
            lambda records: archive([record for record in records if record.position.topic != "interactions.chat"]),
        )
        send(world, change("delete", "d1", 1, **LATER))
    assert "chat-1" not in texts(world)
    world.run()
    assert "chat-1" not in texts(world)
    assert "message number 1" not in world.found().values()


def test_a_redaction_is_owed_until_the_raw_text_is_destroyed(world):
    send(world, chat(0), chat(1), change("redact", "r1", 1, **LATER), change("redact", "r2", 1, **LATER))
    assert texts(world) == {"chat-0": "message number 0"}
    [due] = read_due_erasures(world.lakehouse)
    assert (due.conversation_id, due.message_id, due.since) == ("conv-1", "chat-1", LATER["ingested_at"])
    raw = {row["event_id"]: row["text"] for row in world.lakehouse.scan("raw_chats").to_pylist()}
    assert raw["chat-1"] == "message number 1"
