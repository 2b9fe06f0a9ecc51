"""One record of a call against what the store keeps for it, which may be another release's."""

from __future__ import annotations

import json
from datetime import timedelta

import orjson
import pytest
from quixstreams.context import set_message_context
from quixstreams.models import MessageContext
from structlog.testing import capture_logs

from mmplatform.artifacts import Retraction, Utterance, decode_artifact
from mmplatform.consumers.deriver import StoredCallFold, record_outcome
from mmplatform.derive.call.state import CallState
from mmplatform.derive.chat_changes import AWAITED_REASON, release_row
from mmplatform.derive.passages import quarantine
from mmplatform.events import Arrival, encode
from mmplatform.modalities import CHAT_CHANGE, SHED
from mmplatform.pipeline.process import Outcome
from mmplatform.settings import load
from mmplatform.telemetry.status_server import WorkerStatus
from tests.builders import NOW, arrival, call_end, chat, position
from tests.derive.call.simulated_calls import (
    SPEECH,
    SimulatedCall,
    gaps,
    spoken,
)
from tests.derive.test_chat_fold import change as deletion

LAST = call_end(ingested_at=NOW + timedelta(seconds=60), event_time=NOW + timedelta(seconds=60), chunks=12)


class MemoryState:
    """Quix's store for one key: JSON in, JSON out."""

    def __init__(self) -> None:
        self.value: bytes | None = None

    def get(self, key):
        assert key == "call"
        return orjson.loads(self.value) if self.value is not None else None

    def set(self, key, value):
        assert key == "call"
        self.value = orjson.dumps(value)


class Stream:
    def __init__(self, world: SimulatedCall) -> None:
        self.step = StoredCallFold(load(), world.deriver(), WorkerStatus("derive-call"))
        self.state = MemoryState()
        self.artifacts: dict[str, object] = {}
        self.refused: list[dict[str, object]] = []
        self.offset = 0

    def apply(self, *events):
        for event in events:
            set_message_context(MessageContext("interactions.call", 0, self.offset, 0, leader_epoch=None))
            self.offset += 1
            for out in self.step(encode(event), event.conversation_key.encode(), 0, [], self.state):
                if out.topic != "artifacts":
                    self.refused.append(json.loads(out.value))
                    continue
                artifact = decode_artifact(out.value, out.headers)
                if isinstance(artifact, Retraction):
                    self.artifacts.pop(artifact.artifact_id, None)
                else:
                    self.artifacts[artifact.artifact_id] = artifact


def test_a_call_whose_state_is_kept_as_json_is_heard_as_one_in_memory():
    world = SimulatedCall()
    wanted, _, _ = world.fold([*world.events, LAST])
    stream = Stream(world)
    stream.apply(*world.events, LAST)
    assert spoken(stream.artifacts) == spoken(wanted)
    assert CallState.model_validate(stream.state.get("call")).complete
    assert {a.stamps.taken_at is not None for a in stream.artifacts.values()} == {True}


def earlier(state):
    """As the release before kept it: the last utterance on the channel, a gap for each chunk, no version."""
    fields = {
        name: value for name, value in state.items() if name in {"next_index", "heard_s", "run", "waiting", "ended"}
    }
    channels = [
        {"keep_s": channel["keep_s"], "noise_dbfs": channel["noise_dbfs"], "last": None}
        for channel in state["channels"]
    ]
    return fields | {"channels": channels, "gaps": [{"index": 2, "start_s": 2.0, "end_s": 3.0}], "total": None}


UNREADABLE = {
    "another release's": earlier,
    "of a release to come": lambda state: state | {"schema_version": 4, "mood": "good"},
    "without its channels": lambda state: state | {"channels": "?"},
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_call_whose_state_does_not_read_goes_on_behind_what_was_taken_in(what):
    world = SimulatedCall()
    stream = Stream(world)
    stream.apply(*world.events[:8])
    before = spoken(stream.artifacts)
    stream.state.set("call", UNREADABLE[what](stream.state.get("call")))
    with capture_logs() as logs:
        stream.apply(*world.events[8:], LAST)
    assert [(log["log_level"], log["call_id"]) for log in logs if "call state reset" in log["event"]] == [
        ("warning", "call-1")
    ]
    assert stream.refused == []
    utterances = spoken(stream.artifacts)
    assert set(before) < set(utterances)
    assert any(start > SPEECH[3][0] - 0.5 for _, start, _, _ in utterances)
    [(start, end)] = gaps(stream.artifacts)
    assert end == 8.0
    # The burst from 6.3 s on was open, and is marked; without the channels nobody knows since when something was.
    assert (before[-1][2] <= start <= 6.3) if what != "without its channels" else start == 8.0
    assert CallState.model_validate(stream.state.get("call")).complete


def test_a_call_whose_state_had_keys_of_the_memo_goes_on_in_the_middle_of_a_word():
    world = SimulatedCall()
    wanted, _, _ = world.fold([*world.events, LAST])
    stream = Stream(world)
    stream.apply(*world.events[:8])
    state = stream.state.get("call")
    recent = {"key": "0" * 64, "origin": "1" * 64, "spans": [], "start_s": 0.5, "end_s": 1.8}
    channels = [channel | {"recent": [recent | {"seconds": 0.1, "memo_hit": False}]} for channel in state["channels"]]
    taken = state["taken"] | {"kept": [[7, "0123456789abcdef"]]}
    stream.state.set("call", state | {"schema_version": 2, "channels": channels, "taken": taken})
    stream.apply(*world.events[8:], LAST)
    assert spoken(stream.artifacts) == spoken(wanted)
    assert (gaps(stream.artifacts), stream.refused) == ([], [])


@pytest.mark.parametrize("damaged", [[], "state", {"next_index": -1}, {"next_index": "x", "heard_s": float("nan")}])
def test_a_state_of_which_nothing_reads_is_begun_anew_at_the_event(damaged):
    world = SimulatedCall()
    stream = Stream(world)
    stream.state.value = orjson.dumps(damaged)
    stream.apply(*world.events[6:], LAST)
    assert stream.refused == []
    assert gaps(stream.artifacts) == [(6.0, 6.0)]
    assert len(spoken(stream.artifacts)) == 2


def test_an_end_finds_a_state_of_which_nothing_reads():
    stream = Stream(SimulatedCall())
    stream.state.value = b"[]"
    stream.apply(LAST)
    assert gaps(stream.artifacts) == [(0.0, 0.0)]
    assert [type(a) for a in stream.artifacts.values()] == [Utterance]
    assert stream.refused == []


def test_the_log_of_a_state_that_does_not_read_quotes_none_of_it():
    world = SimulatedCall()
    stream = Stream(world)
    stream.state.set("call", {"next_index": 3, "heard_s": 3.0, "said": "555 0123"})
    with capture_logs() as logs:
        stream.apply(world.events[3])
    assert "555" not in str([log["wrong"] for log in logs if "wrong" in log])


def test_what_was_shed_is_counted_and_only_what_is_really_set_aside_is_told_by_its_id():
    shed = [quarantine(arrival(chat(n)), contract=SHED, reasons=("too many",)) for n in range(3)]
    broken = quarantine(arrival(chat(9)), contract="raw_chats", reasons=("no",))
    status = WorkerStatus("derive-chat")
    with capture_logs() as logs:
        record_outcome(status, Outcome(quarantined=tuple(shed)), 3, 0.0)
        assert logs == []
        record_outcome(status, Outcome(quarantined=(*shed, broken)), 4, 0.0)
    assert [(log["event"], log["quarantined"], log["reasons"]) for log in logs] == [
        ("records refused", ["chat-9"], ["no"])
    ]
    assert status.shed() == 6


def test_a_change_of_a_chat_that_waits_is_counted_until_it_is_released():
    change = Arrival(deletion("delete", "d1"), position())
    row = quarantine(change, contract=CHAT_CHANGE, reasons=(AWAITED_REASON,))
    status = WorkerStatus("derive-chat")

    def waiting():
        counts = {
            name: status.registry.get_sample_value(
                "mmplatform_outcomes_total", {"worker": status.name, "outcome": name}
            )
            for name in ("chat_changes", "released")
        }
        return counts["chat_changes"] - counts["released"]

    record_outcome(status, Outcome(quarantined=(row,)), 1, 0.0)
    assert waiting() == 1
    record_outcome(status, Outcome(quarantined=(release_row(change, position(1)),)), 1, 0.0)
    assert waiting() == 0
