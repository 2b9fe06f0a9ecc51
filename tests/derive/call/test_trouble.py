"""Odd calls: sources that contradict themselves, audio that is erased, numbers in two breaths."""

from __future__ import annotations

import re
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmplatform.artifacts import Passage, Retraction, Utterance
from mmplatform.derive.call.state import MAX_WAITING_CHUNKS, CallState
from mmplatform.errors import Unavailable
from mmplatform.events import Arrival, Position
from mmplatform.ports import Redacted, Segment, SpokenWord
from tests.builders import NOW, call_end
from tests.derive.call.simulated_calls import (
    COST,
    LENGTH_S,
    RATE,
    SPEECH,
    ScriptedTranscriber,
    SimulatedCall,
    gaps,
    one_per_burst,
    spoken,
    tone_like_speech,
    utterances_in_order,
)

LAST = call_end(ingested_at=NOW + timedelta(seconds=60), event_time=NOW + timedelta(seconds=60))


def step(call, state, event, offset=0):
    return call.deriver().advance(state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset)))


@pytest.mark.parametrize("size_s", [0.2, 0.5, 3.0, 30.0])
def test_the_size_of_the_chunks_does_not_matter(size_s):
    call = SimulatedCall()
    artifacts, quarantined, _ = call.fold([*call.chunk_events(tone_like_speech()[None], size_s=size_s), LAST])
    assert one_per_burst(spoken(artifacts))
    assert quarantined == []


def test_a_rate_that_changes_in_the_middle_of_a_call_is_followed():
    call = SimulatedCall()
    finer = np.repeat(tone_like_speech(), 2)[None]
    other_events = call.chunk_events(finer, rate=2 * RATE)
    artifacts, quarantined, _ = call.fold([*call.events[:5], *other_events[5:], LAST])
    assert one_per_burst(spoken(artifacts))
    assert quarantined == []


def test_two_speakers_are_transcribed_each_on_their_channel():
    call = SimulatedCall()
    voice = tone_like_speech()
    both = np.stack([voice, np.roll(voice, round(1.45 * RATE))])
    artifacts, _, _ = call.fold([*call.chunk_events(both, speakers=("agent", "customer")), LAST])
    utterances = [a for a in artifacts.values() if isinstance(a, Utterance)]
    assert {(a.channel, a.speaker) for a in utterances} == {(0, "agent"), (1, "customer")}
    assert one_per_burst([utterance for utterance in spoken(artifacts) if utterance[0] == 0])
    assert {p.locator.speaker for p in artifacts.values() if isinstance(p, Passage)} == {"agent", "customer"}


def test_when_all_voices_are_on_both_channels_no_speaker_is_named():
    call = SimulatedCall()
    voice = tone_like_speech()
    artifacts, _, _ = call.fold([*call.chunk_events(np.stack([voice, voice]), speakers=("agent", "customer")), LAST])
    assert {(a.channel, a.speaker) for a in artifacts.values() if isinstance(a, Utterance)} == {(0, "channel-0")}


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_restart_anywhere_in_any_order_gives_the_same_artifacts(data):
    call = SimulatedCall()
    events = list(call.events)
    for index in data.draw(st.lists(st.integers(0, LENGTH_S - 2), max_size=5)):
        events[index], events[index + 1] = events[index + 1], events[index]
    lost = data.draw(st.sampled_from([None, 0, 3, 7, LENGTH_S - 1]))
    events = [*(event for event in events if event.chunk_index != lost), call_end(chunks=LENGTH_S)]
    cut = data.draw(st.integers(0, len(events)))

    def folded(restart_offset):
        deriver, state, found = call.deriver(), None, []
        for offset, event in enumerate(events):
            if offset == restart_offset and state is not None:
                deriver, state = call.deriver(), CallState.model_validate_json(state.model_dump_json())
            arrival = Arrival(event, Position(topic="t", topic_partition=0, offset=offset))
            state, derived = deriver.advance(state, arrival)
            found += derived.artifacts
        return stable([record.model_dump(mode="json") for record in (*found, state)])

    assert folded(cut) == folded(None)


def stable(dumped):
    """Leave out the fields that measure this run: time and cost of deriving."""
    if isinstance(dumped, list):
        return [stable(value) for value in dumped]
    if isinstance(dumped, dict):
        return {name: stable(value) for name, value in dumped.items() if name not in COST}
    return dumped


def test_the_chunks_that_the_source_counted_and_did_not_send_are_marked():
    call = SimulatedCall()
    artifacts, _, state = call.fold([*call.events[:-2], call_end(chunks=LENGTH_S)])
    assert gaps(artifacts) == [(10.0, 12.0)]
    assert (state.tail.first, state.tail.chunks) == (10, 2)


def test_chunks_after_the_end_retract_their_gap():
    call = SimulatedCall()
    artifacts, _, state = call.fold([*call.events[:-2], call_end(chunks=LENGTH_S), *call.events[-2:]])
    assert (gaps(artifacts), state.gaps, state.tail) == ([], (), None)


def test_when_the_end_overtakes_everything_the_last_chunk_closes_the_call():
    call = SimulatedCall()
    artifacts, quarantined, _ = call.fold([call_end(chunks=LENGTH_S), *call.events])
    assert len(spoken(artifacts)) == len(SPEECH)
    assert (gaps(artifacts), quarantined) == ([], [])


def test_a_source_that_skips_a_billion_chunks_is_followed_and_the_state_stays_small():
    call = SimulatedCall()
    far = call.events[3].model_copy(update={"chunk_index": 10**9, "ingested_at": NOW + timedelta(seconds=9)})
    following = call.events[4].model_copy(update={"chunk_index": 10**9 + 1, "ingested_at": NOW + timedelta(seconds=13)})
    artifacts, _, state = call.fold([*call.events[:3], far, following])
    assert gaps(artifacts) == [(3.0, 3.0)]
    assert [gap.chunks for gap in state.gaps] == [10**9 - 3]
    assert state.next_index == 10**9 + 2
    assert len(state.model_dump_json()) < 4000


def test_a_source_that_sends_much_at_once_without_its_first_chunk_is_not_waited_for():
    call = SimulatedCall()
    many = [
        call.events[0].model_copy(
            update={"event_id": f"call-1:{n}", "chunk_index": n, "start_s": float(n), "ingested_at": NOW}
        )
        for n in range(1, MAX_WAITING_CHUNKS + 3)
    ]
    artifacts, _, state = call.fold(many)
    assert gaps(artifacts) == [(0.0, 1.0)]
    assert state.waiting == ()


def test_a_chunk_that_goes_back_in_time_is_quarantined_and_the_call_goes_on():
    call = SimulatedCall()
    events = list(call.events)
    events[5] = events[5].model_copy(update={"start_s": 1.0})
    artifacts, quarantined, _ = call.fold([*events, LAST])
    assert [(row.event_id, row.contract) for row in quarantined] == [("call-1:5", "call_timeline")]
    assert {round(start) for _, start, _, _ in spoken(artifacts)} >= {0, 3, 9}


def test_small_steps_of_the_clock_neither_lose_nor_move_utterances():
    call = SimulatedCall()
    shaken = [
        event.model_copy(update={"start_s": event.start_s + 0.03 * (n % 2)}) for n, event in enumerate(call.events)
    ]
    artifacts, quarantined, _ = call.fold([*shaken, LAST])
    assert one_per_burst(spoken(artifacts))
    assert quarantined == []


def test_accepted_audio_that_is_then_erased_becomes_a_gap_and_the_call_goes_on():
    call = SimulatedCall()
    state, found, quarantined = None, {}, []
    for offset, event in enumerate([*call.events, LAST]):
        if offset == 8:
            del call.blobs.data[call.events[7].blob.sha256]  # its speech goes on in chunk 7, which was accepted
        state, derived = step(call, state, event, offset)  # a new deriver each time: nothing is cached
        found |= {a.artifact_id: a for a in derived.artifacts}
        quarantined += derived.quarantined
    assert [(row.event_id, row.position.offset) for row in quarantined] == [("call-1:7", 7)]
    assert gaps(found) == [(7.0, 8.0)]
    assert any(start > 8.5 for _, start, _, _ in spoken(found))


def test_a_store_that_is_unavailable_in_the_middle_changes_nothing():
    call = SimulatedCall()
    state = None
    for event in call.events[:7]:
        state, _ = step(call, state, event)
    call.blobs.away = True
    with pytest.raises(Unavailable):
        step(call, state, call.events[7])
    call.blobs.away = False
    after, derived = step(call, state, call.events[7])
    assert (after.next_index, derived.quarantined) == (8, ())


class TwoPartNumber(ScriptedTranscriber):
    """Dictates a number, half of it in each window."""

    def transcribe(self, audio, *, language=None):  # noqa: ARG002
        half = ("call", "555") if self.calls % 2 == 0 else ("0142", "please")
        self.calls += 1
        words = tuple(SpokenWord(n * 0.4, n * 0.4 + 0.3, text, 0.9) for n, text in enumerate(half))
        return [Segment(0.0, 0.8, " ".join(half), words, 0.0, -0.1, 1.0, "en")]


class WholeNumberRedactor:
    """Finds a number only where it is complete."""

    name, version = "whole numbers", "1"

    def redact(self, texts, *, spoken=False):
        assert spoken
        out = []
        for text in texts:
            spans = tuple(match.span() for match in re.finditer(r"555 0142", text))
            out.append(Redacted(text.replace("555 0142", "[PHONE]"), ("PHONE",) * len(spans), spans))
        return out


@pytest.mark.parametrize("restart", [False, True])
def test_a_number_dictated_in_two_breaths_is_hidden_in_both(restart):
    call = SimulatedCall(asr=TwoPartNumber(), redactor=WholeNumberRedactor())
    artifacts, _, _ = call.fold([*call.events[:6], LAST], restart=restart)
    utterances = utterances_in_order(artifacts)
    assert [a.text for a in utterances] == ["call [PHONE]", "[PHONE] please"]
    assert [[word.text for word in a.words] for a in utterances] == [["call", "[REDACTED]"], ["[REDACTED]", "please"]]
    assert [a.pii[0].entity for a in utterances] == ["PHONE", "PHONE"]
    passages = {p.source_artifact_id: p.text for p in artifacts.values() if isinstance(p, Passage)}
    assert passages == {a.artifact_id: a.text for a in utterances}


def test_an_utterance_ends_with_its_last_word_and_not_with_the_silence_after_it():
    call = SimulatedCall(asr=TwoPartNumber())
    artifacts, _, _ = call.fold([*call.events[:6], LAST])
    first = min((a for a in artifacts.values() if isinstance(a, Utterance)), key=lambda a: a.start_s)
    assert first.end_s == pytest.approx(first.start_s + 0.7)
    assert (first.stamps.event_time - NOW).total_seconds() == pytest.approx(first.end_s, abs=1e-3)


class LanguageTranscriber(ScriptedTranscriber):
    """Detects the language of long windows, and records the language that each window was requested in."""

    def __init__(self) -> None:
        super().__init__()
        self.requested: list[tuple[float, str | None]] = []

    def transcribe(self, audio, *, language=None):
        self.requested.append((audio.size / 16_000, language))
        found = super().transcribe(audio)
        return [Segment(f.start_s, f.end_s, f.text, f.words, 0.0, -0.1, 1.0, language or "sv") for f in found]


def test_a_short_window_is_transcribed_in_the_language_of_the_long_ones():
    call = SimulatedCall(asr=LanguageTranscriber())
    t = np.arange(7 * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * n * t) / n for n in range(1, 14)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    voice = voice * ((t < 4) | ((t > 5.5) & (t < 6))) * 6000
    call.fold([*call.chunk_events(voice[None]), LAST])
    (long_s, first), (short_s, second) = call.asr.requested
    assert (long_s > 3, first) == (True, None)
    assert (short_s < 3, second) == (True, "sv")


def test_a_late_chunk_leaves_the_context_of_the_others_alone():
    call = SimulatedCall()
    events = [event for event in call.events if event.chunk_index != 1]
    artifacts, _, state = call.fold([*events, call.events[1], LAST])
    assert gaps(artifacts) == []
    assert [round(utterance.start_s) for utterance in state.channels[0].recent][-1] > 8
    assert not any(isinstance(a, Retraction) for a in artifacts.values())
