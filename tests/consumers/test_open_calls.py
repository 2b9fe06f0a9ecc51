"""A call is open from its first audio that is in no utterance; its subjects are pseudonyms."""

from __future__ import annotations

from mmplatform.consumers.open_calls import OpenCalls
from mmplatform.derive.call.state import CallState, ChunkRef, LateStretch
from mmplatform.events import Position
from mmplatform.identity import conversation_key
from mmplatform.kafka.headers import Pseudonyms
from mmplatform.modalities import CALL
from tests.builders import NOW, chunk

PSEUDONYMS = Pseudonyms(b"a key")
KEY = "default//call-1"


def ref(index, **change):
    position = Position(topic=CALL.topic, topic_partition=0, offset=index)
    return ChunkRef.from_event(chunk(index, **change), position)


def open_calls(*states):
    calls = OpenCalls(PSEUDONYMS, "default")
    for state in states:
        calls.note(0, KEY, state)
    return calls.by_topic_partition().get(0, [])


def test_a_call_is_open_from_its_first_open_audio():
    first, second = ref(0, subject_id="ann"), ref(1, subject_id="ann", ingested_at=NOW.replace(year=2027))
    [call] = open_calls(CallState(next_index=2, run=(first, second)))
    assert (call.conversation_key, call.since) == (KEY, first.ingested_at)
    assert "ann" not in call.model_dump_json()
    assert call.subjects == (PSEUDONYMS.of_subject("default/ann"),)


def test_chunks_that_wait_and_late_ones_are_open_too():
    assert open_calls(CallState(next_index=1, waiting=(ref(5),)))
    assert open_calls(CallState(next_index=1, late=LateStretch(run=(ref(0),), channels=())))


def test_a_call_in_silence_is_open_no_longer():
    spoken = CallState(next_index=1, run=(ref(0),))
    assert open_calls(spoken, CallState(next_index=2)) == []


def test_audio_that_came_behind_the_end_of_its_call_is_open():
    assert open_calls(CallState(next_index=1, run=(ref(0),), ended=True))


def test_the_longest_key_of_a_call_is_no_reason_to_fail():
    key = conversation_key("t" * 64, "/" * 200, "%" * 200)
    calls = OpenCalls(PSEUDONYMS, "default")
    calls.note(0, key, CallState(next_index=1, run=(ref(0),)))
    assert calls.by_topic_partition()[0][0].conversation_key == key
