"""A model that fails on one window, a state too large for the log: the call goes on, and marks what is missing."""

from __future__ import annotations

import re
from datetime import timedelta

import numpy as np
import pytest

from mmplatform.artifacts import Passage, Retraction, Utterance, artifact_id
from mmplatform.derive.call.state import MAX_WAITING_CHUNKS
from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.events import Arrival, Position
from mmplatform.pipeline.record_size import MAX_RECORD_BYTES
from tests.builders import NOW, call_end
from tests.derive.call.simulated_calls import (
    RATE,
    SPEECH,
    DictatingTranscriber,
    DigitRedactor,
    FlatEmbedder,
    PlainRedactor,
    ScriptedTranscriber,
    SimulatedCall,
    gaps,
    spoken,
    utterances_in_order,
)

LAST = call_end(ingested_at=NOW + timedelta(seconds=60), event_time=NOW + timedelta(seconds=60))


class FailingTranscriber(ScriptedTranscriber):
    """Fails on the second window, each time that it gets it."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tried: list[bytes] = []

    def transcribe(self, audio, *, language=None):
        if audio.tobytes() not in self.tried:
            self.tried.append(audio.tobytes())
        if self.tried.index(audio.tobytes()) == 1:
            self.calls += 1
            raise self.error
        return super().transcribe(audio, language=language)


class FailingRedactor(PlainRedactor):
    """Fails on texts that match."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def redact(self, texts, *, spoken=False):
        if any(re.search(self.pattern, text) for text in texts):
            raise RuntimeError("my number is 555 0142")
        return super().redact(texts, spoken=spoken)


def assert_the_second_is_quarantined(artifacts, quarantined, who: str) -> None:
    begin, stop = SPEECH[1]
    [(start, end)] = gaps(artifacts)
    assert begin - 0.5 < start < begin
    assert stop < end < stop + 0.5
    assert len(spoken(artifacts)) == len(SPEECH) - 1
    assert [row.contract for row in quarantined] == ["call"]
    assert re.fullmatch(
        rf"channel 0 from {start:.1f} to {end:.1f} s: {who} raised RuntimeError", quarantined[0].reasons[0]
    )
    assert (quarantined[0].event_id, quarantined[0].position.offset) == ("call-1:5", 5)


@pytest.mark.parametrize("restart", [False, True])
def test_a_window_on_which_the_transcriber_fails_is_quarantined_once_and_the_call_goes_on(restart):
    call = SimulatedCall(asr=FailingTranscriber(RuntimeError("what was said")))
    artifacts, quarantined, state = call.fold([*call.events, LAST], restart=restart)
    assert_the_second_is_quarantined(artifacts, quarantined, "scripted")
    assert call.asr.calls == len(SPEECH)
    assert state.run == ()


def test_a_better_model_puts_the_words_where_the_gap_was():
    bad, good = SimulatedCall(asr=FailingTranscriber(RuntimeError())), SimulatedCall()
    incomplete, _, _ = bad.fold([*bad.events, LAST])
    complete, _, _ = good.fold([*good.events, LAST])
    [gap] = [a for a in incomplete.values() if isinstance(a, Utterance) and a.status == "gap"]
    assert complete[gap.artifact_id].status == "final"


def test_a_window_on_which_the_redactor_fails_is_quarantined_and_nothing_of_it_is_published():
    call = SimulatedCall(asr=DictatingTranscriber("one", "two", "three", "four"), redactor=FailingRedactor("two"))
    artifacts, quarantined, _ = call.fold([*call.events, LAST])
    assert_the_second_is_quarantined(artifacts, quarantined, "plain")
    assert [a.text for a in utterances_in_order(artifacts)] == ["one", "", "three", "four"]
    assert "555" not in quarantined[0].reasons[0]


def test_of_windows_in_one_batch_only_the_failing_one_is_quarantined():
    call = SimulatedCall(asr=DictatingTranscriber("one", "two", "three", "four"), redactor=FailingRedactor("two"))
    samples = np.concatenate([decoded(call, event) for event in call.events])
    [single_chunk] = call.chunk_events(samples[None], size_s=12.0)
    artifacts, quarantined, _ = call.fold([single_chunk, LAST])
    assert [a.text for a in utterances_in_order(artifacts)] == ["one", "", "three", "four"]
    assert len(quarantined) == 1


def decoded(call, event) -> np.ndarray:
    return np.frombuffer(call.blobs.get(event.blob)[44:], dtype="<i2")


class FailingEmbedder(FlatEmbedder):
    """Fails on texts that match."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def embed(self, texts):
        if any(re.fullmatch(self.pattern, text) for text in texts):
            raise RuntimeError
        return super().embed(texts)


def folded(deriver, events):
    state, found, quarantined = None, [], []
    for offset, event in enumerate(events):
        state, derived = deriver.advance(state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset)))
        found += derived.artifacts
        quarantined += derived.quarantined
    return found, quarantined


def test_an_utterance_on_which_the_embedder_fails_is_quarantined_and_its_older_passage_retracted():
    call = SimulatedCall(
        asr=DictatingTranscriber("my number is 415", "555 0123", "thank you", "bye"), redactor=DigitRedactor()
    )
    deriver = call.deriver()
    deriver._embedder = FailingEmbedder(r"my number is \[PHONE\]")
    found, quarantined = folded(deriver, [*call.events, LAST])
    [first, again] = [a for a in found if isinstance(a, Utterance) and a.start_s < 2]
    assert (first.text, again.text, again.status) == ("my number is 415", "", "gap")
    assert first.artifact_id == again.artifact_id
    assert [a.artifact_id for a in found if isinstance(a, Retraction)] == [artifact_id("passage", first.artifact_id, 0)]
    assert {a.text for a in found if isinstance(a, Passage)} == {"my number is 415", "[PHONE]", "thank you", "bye"}
    assert [row.reasons[0].rpartition(": ")[2] for row in quarantined] == ["flat raised RuntimeError"]


@pytest.mark.parametrize("error", [Unavailable("away"), Misconfigured("no such model")])
def test_an_error_of_the_platform_applies_no_event(error):
    call = SimulatedCall(asr=FailingTranscriber(error))
    with pytest.raises(type(error)):
        call.fold([*call.events, LAST])


def test_the_reason_of_a_rejected_window_is_the_models():
    call = SimulatedCall(asr=FailingTranscriber(Rejected("too short to be speech")))
    _, quarantined, _ = call.fold([*call.events, LAST])
    assert quarantined[0].reasons[0].endswith(" s: too short to be speech")


def at_max_size(event, **change):
    """Enlarge an event to its limit."""
    blob = event.blob.model_copy(update={"key": "k" * 1024})
    return event.model_copy(update={"blob": blob, "subject_id": "ü" * 200, "speakers": ("ü" * 64,) * 8} | change)


def fold_and_measure(call, events):
    deriver, state, max_bytes, artifacts, quarantined = call.deriver(), None, 0, {}, []
    for offset, event in enumerate(events):
        state, derived = deriver.advance(state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset)))
        max_bytes = max(max_bytes, len(state.model_dump_json()))
        artifacts |= {a.artifact_id: a for a in derived.artifacts if not isinstance(a, Retraction)}
        quarantined += derived.quarantined
    return max_bytes, artifacts, quarantined, state


def test_missing_chunks_are_waited_for_less_before_the_state_outgrows_the_log():
    call = SimulatedCall()
    many = [
        at_max_size(call.events[0], event_id=f"{n}:" + "ü" * 190, chunk_index=n, start_s=float(n), ingested_at=NOW)
        for n in range(1, MAX_WAITING_CHUNKS)
    ]
    max_bytes, artifacts, quarantined, state = fold_and_measure(call, many)
    assert max_bytes < MAX_RECORD_BYTES
    assert gaps(artifacts) == [(0.0, 1.0)]  # the chunk that is no longer waited for; all others are present
    assert (state.next_index, state.waiting, quarantined) == (MAX_WAITING_CHUNKS, (), [])


def test_speech_in_many_large_chunks_is_cut_before_the_state_outgrows_the_log_and_none_of_it_is_lost():
    call = SimulatedCall()
    t = np.arange(15 * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * n * t) / n for n in range(1, 14)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    events = [
        at_max_size(event, event_id=f"{event.chunk_index}:" + "ü" * 190)
        for event in call.chunk_events((voice * 6000)[None], size_s=0.03)
    ]
    max_bytes, artifacts, quarantined, _ = fold_and_measure(call, [*events, LAST])
    assert max_bytes < MAX_RECORD_BYTES
    assert (gaps(artifacts), quarantined) == ([], [])
    windows = spoken(artifacts)
    assert len(windows) > 1
    assert sum(end - start for _, start, end, _ in windows) == pytest.approx(15, abs=0.5)
