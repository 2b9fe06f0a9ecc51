"""The fold over a call's events, with a scripted transcriber: order, borders, and the state between two events."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mmplatform.artifacts import Passage, Utterance
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.errors import Unavailable
from mmplatform.events import Arrival, Position
from mmplatform.ports import Redacted
from tests.builders import NOW, call_end
from tests.derive.call.simulated_calls import (
    LENGTH_S,
    SPEECH,
    FlatEmbedder,
    PlainRedactor,
    SimulatedCall,
    gaps,
    spoken,
)


def test_each_burst_is_one_utterance_at_its_time():
    call = SimulatedCall()
    artifacts, quarantined, state = call.fold([*call.events, call_end()])
    utterances = spoken(artifacts)
    assert len(utterances) == len(SPEECH)
    for (_, start, end, _), (begin, stop) in zip(utterances, SPEECH, strict=True):
        assert begin - 0.45 <= start <= begin + 0.05
        assert stop - 0.05 <= end <= stop + 0.45
    assert (quarantined, state.ended) == ([], True)


def test_each_utterance_has_a_passage_with_its_locator():
    call = SimulatedCall()
    artifacts, _, _ = call.fold([*call.events, call_end()])
    passages = [a for a in artifacts.values() if isinstance(a, Passage)]
    assert {(p.locator.start_s, p.text) for p in passages} == {
        (a.start_s, a.text) for a in artifacts.values() if isinstance(a, Utterance)
    }


def test_an_utterance_has_the_time_of_its_end_and_the_events_of_its_chunks():
    call = SimulatedCall()
    artifacts, _, _ = call.fold([*call.events, call_end()])
    first = min((a for a in artifacts.values() if isinstance(a, Utterance)), key=lambda a: a.start_s)
    assert (first.stamps.event_time - NOW).total_seconds() == pytest.approx(first.end_s, abs=0.01)
    assert first.provenance.event_ids[:2] == ("call-1:0", "call-1:1")
    assert len(first.provenance.event_ids) == 2 + (first.end_s > 2.0)
    assert [word.text for word in first.words] == first.text.split()
    assert first.words[-1].end_s <= first.end_s + 0.01


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_order_within_the_gap_timeout_and_with_duplicates_gives_the_same_utterances(data):
    call = SimulatedCall()
    wanted, _, _ = call.fold([*call.events, call_end()])
    swapped = list(call.events)
    for index in data.draw(st.lists(st.integers(0, LENGTH_S - 2), max_size=6)):
        swapped[index], swapped[index + 1] = swapped[index + 1], swapped[index]
    assume(all(abs(index - event.chunk_index) < 3 for index, event in enumerate(swapped)))
    doubled = [event for event in swapped for _ in range(data.draw(st.integers(1, 2)))]
    found, quarantined, _ = call.fold([*doubled, call_end()])
    assert spoken(found) == spoken(wanted)
    assert (gaps(found), quarantined) == ([], [])


def test_a_restart_between_any_two_events_changes_nothing_and_transcribes_nothing_twice():
    call = SimulatedCall()
    wanted, _, _ = call.fold([*call.events, call_end()])
    paid = call.asr.calls
    found, _, _ = call.fold([*call.events, call_end()], restart=True)
    assert spoken(found) == spoken(wanted)
    assert found.keys() == wanted.keys()
    assert call.asr.calls == paid


def test_a_missing_chunk_is_waited_for_then_marked_and_never_bridged():
    call = SimulatedCall()
    events = [event for event in call.events if event.chunk_index != 4]
    artifacts, _, _ = call.fold([*events, call_end()])
    assert gaps(artifacts) == [(4.0, 5.0)]
    assert all(end <= 4.05 or start >= 4.95 for _, start, end, _ in spoken(artifacts))


def test_a_chunk_that_comes_after_its_gap_retracts_the_gap():
    call = SimulatedCall()
    late = call.events[7]
    events = [event for event in call.events if event.chunk_index != 7]
    artifacts, _, state = call.fold([*events, late, call_end()])
    assert gaps(artifacts) == []
    assert state.gaps == ()
    assert any(start >= 7.0 and end <= 8.0 for _, start, end, _ in spoken(artifacts))


def test_a_chunk_within_the_gap_timeout_leaves_no_gap():
    call = SimulatedCall()
    events = list(call.events)
    events[4], events[5], events[6] = events[5], events[6], events[4]
    artifacts, _, _ = call.fold([*events, call_end()])
    assert gaps(artifacts) == []
    assert len(spoken(artifacts)) == len(SPEECH)


def test_a_chunk_without_its_blob_is_quarantined_with_the_reason_and_the_call_goes_on():
    call = SimulatedCall()
    del call.blobs.data[call.events[3].blob.sha256]
    artifacts, quarantined, _ = call.fold([*call.events, call_end()])
    assert [(row.event_id, row.contract) for row in quarantined] == [("call-1:3", "blob")]
    assert gaps(artifacts) == [(3.0, 4.0)]
    assert any(start > 6 for _, start, _, _ in spoken(artifacts))


def test_an_unavailable_store_applies_no_event():
    call = SimulatedCall()
    deriver = call.deriver()
    call.blobs.away = True
    with pytest.raises(Unavailable):
        deriver.advance(None, Arrival(call.events[0], Position(topic="t", topic_partition=0, offset=0)))


def test_a_call_that_falls_silent_is_derived_and_may_go_on():
    call = SimulatedCall()
    idle = call_end(event_id="idle", reason="idle")
    artifacts, _, state = call.fold([*call.events[:2], idle, *call.events[2:], call_end()])
    assert len(spoken(artifacts)) == len(SPEECH)
    assert state.ended


def test_an_end_before_anything_and_a_second_end_are_harmless():
    call = SimulatedCall()
    artifacts, quarantined, state = call.fold([call_end(), call_end(), *call.events, call_end(), call_end()])
    assert len(spoken(artifacts)) == len(SPEECH)
    assert (quarantined, state.ended) == ([], True)


def test_the_same_voice_on_both_channels_is_transcribed_once():
    call = SimulatedCall(channels=2)
    artifacts, _, _ = call.fold([*call.events, call_end()])
    assert {channel for channel, *_ in spoken(artifacts)} == {0}


def test_the_state_holds_pointers_and_stays_small():
    call = SimulatedCall()
    _, _, state = call.fold(call.events * 3)
    assert len(state.model_dump_json()) < 5000
    assert len(state.run) <= 3


def test_words_that_a_redacted_span_touches_are_hidden():
    class HidingRedactor(PlainRedactor):
        def redact(self, texts, *, spoken=False):  # noqa: ARG002
            found = [[match.span() for match in re.finditer(r"[0-9.]+", text)] for text in texts]
            return [
                Redacted(re.sub(r"[0-9.]+", "[NUMBER]", text), ("NUMBER",) * len(spans), tuple(spans))
                for text, spans in zip(texts, found, strict=True)
            ]

    call = SimulatedCall()
    deriver = CallDeriver(call.asr, FlatEmbedder(), HidingRedactor(), call.memo, call.blobs, gap_timeout_s=3.0)
    state, found = None, []
    for offset, event in enumerate([*call.events, call_end()]):
        state, derived = deriver.advance(state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset)))
        found += [a for a in derived.artifacts if isinstance(a, Utterance)]
    assert {word.text for a in found for word in a.words} == {"heard", "[REDACTED]", "seconds"}
    assert {a.text for a in found} == {"heard [NUMBER] seconds"}
    assert found[0].pii[0].entity == "NUMBER"


def test_two_calls_of_the_same_audio_are_transcribed_once():
    call = SimulatedCall()
    call.fold([*call.events, call_end()])
    paid = call.asr.calls
    again = [
        event.model_copy(update={"conversation_id": "call-2", "event_id": f"call-2:{event.chunk_index}"})
        for event in call.events
    ]
    artifacts, _, _ = call.fold([*again, call_end(conversation_id="call-2")])
    assert call.asr.calls == paid
    assert all(a.provenance.memo_hit for a in artifacts.values() if isinstance(a, Utterance))
    assert hashlib.sha256(b"").hexdigest() not in str(artifacts)


def test_utterances_have_the_subject_of_their_chunks_not_of_the_end():
    call = SimulatedCall()
    artifacts, _, _ = call.fold([*call.events, call_end(subject_id="another-subject")])
    assert {artifact.subject_id for artifact in artifacts.values()} == {"cust-1"}
