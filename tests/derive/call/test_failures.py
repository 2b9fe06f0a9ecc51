"""A model that fails on one window, a state that would not fit the log: the call goes on, and says what it lacks."""

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
from tests.derive.call.test_fold import RATE, SPEECH, Flat, Plain, Scripted, World, gaps, spoken
from tests.derive.call.test_redaction import Dictates, Digits, said_of
from tests.derive.call.test_trouble import told

LAST = call_end(ingested_at=NOW + timedelta(seconds=60), event_time=NOW + timedelta(seconds=60))


class Fails(Scripted):
    """Fails on the second window that it hears, each time that it hears it."""

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


class RefusesTo(Plain):
    """A redactor that cannot read what matches."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def redact(self, texts, *, spoken=False):
        if any(re.search(self.pattern, text) for text in texts):
            raise RuntimeError("my number is 555 0142")
        return super().redact(texts, spoken=spoken)


def the_second_is_set_aside(artifacts, aside, who: str) -> None:
    begin, stop = SPEECH[1]
    [(start, end)] = gaps(artifacts)
    assert begin - 0.5 < start < begin
    assert stop < end < stop + 0.5
    assert len(spoken(artifacts)) == len(SPEECH) - 1
    assert [row.contract for row in aside] == ["call"]
    assert re.fullmatch(rf"channel 0 from {start:.1f} to {end:.1f} s: {who} raised RuntimeError", aside[0].reasons[0])
    assert (aside[0].event_id, aside[0].position.offset) == ("call-1:5", 5)


@pytest.mark.parametrize("restart", [False, True])
def test_a_window_on_which_the_transcriber_fails_is_set_aside_once_and_the_rest_of_the_call_is_heard(restart):
    world = World(asr=Fails(RuntimeError("what was said")))
    artifacts, aside, state = world.fold([*world.events, LAST], restart=restart)
    the_second_is_set_aside(artifacts, aside, "scripted")
    assert world.asr.calls == len(SPEECH)
    assert state.run == ()


def test_a_better_model_puts_the_words_where_the_gap_was():
    bad, good = World(asr=Fails(RuntimeError())), World()
    lacking, _, _ = bad.fold([*bad.events, LAST])
    whole, _, _ = good.fold([*good.events, LAST])
    [gap] = [a for a in lacking.values() if isinstance(a, Utterance) and a.status == "gap"]
    assert whole[gap.artifact_id].status == "final"


def test_a_window_that_the_redactor_cannot_read_is_set_aside_and_nothing_of_it_is_published():
    world = World(asr=Dictates("one", "two", "three", "four"), redactor=RefusesTo("two"))
    artifacts, aside, _ = world.fold([*world.events, LAST])
    the_second_is_set_aside(artifacts, aside, "plain")
    assert [a.text for a in said_of(artifacts)] == ["one", "", "three", "four"]
    assert "555" not in aside[0].reasons[0]


def test_of_windows_in_one_batch_only_the_one_that_fails_is_set_aside():
    world = World(asr=Dictates("one", "two", "three", "four"), redactor=RefusesTo("two"))
    [whole] = told(world, np.concatenate([decoded(world, event) for event in world.events])[None], size_s=12.0)
    artifacts, aside, _ = world.fold([whole, LAST])
    assert [a.text for a in said_of(artifacts)] == ["one", "", "three", "four"]
    assert len(aside) == 1


def decoded(world, event) -> np.ndarray:
    return np.frombuffer(world.blobs.get(event.blob)[44:], dtype="<i2")


class FlatBut(Flat):
    """An embedder that cannot take one text."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def embed(self, texts):
        if any(re.fullmatch(self.pattern, text) for text in texts):
            raise RuntimeError
        return super().embed(texts)


def folded(deriver, events):
    state, found, aside = None, [], []
    for offset, event in enumerate(events):
        state, derived = deriver.advance(state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset)))
        found += derived.artifacts
        aside += derived.quarantined
    return found, aside


def test_an_utterance_that_the_embedder_cannot_take_is_set_aside_and_no_older_passage_of_it_stays():
    world = World(asr=Dictates("my number is 415", "555 0123", "thank you", "bye"), redactor=Digits())
    deriver = world.deriver()
    deriver._embedder = FlatBut(r"my number is \[PHONE\]")
    found, aside = folded(deriver, [*world.events, LAST])
    [first, again] = [a for a in found if isinstance(a, Utterance) and a.start_s < 2]
    assert (first.text, again.text, again.status) == ("my number is 415", "", "gap")
    assert first.artifact_id == again.artifact_id
    assert [a.artifact_id for a in found if isinstance(a, Retraction)] == [artifact_id("passage", first.artifact_id, 0)]
    assert {a.text for a in found if isinstance(a, Passage)} == {"my number is 415", "[PHONE]", "thank you", "bye"}
    assert [row.reasons[0].rpartition(": ")[2] for row in aside] == ["flat raised RuntimeError"]


@pytest.mark.parametrize("error", [Unavailable("away"), Misconfigured("no such model")])
def test_what_is_about_us_and_not_about_the_window_takes_nothing_in(error):
    world = World(asr=Fails(error))
    with pytest.raises(type(error)):
        world.fold([*world.events, LAST])


def test_a_model_that_rejects_a_window_says_why():
    world = World(asr=Fails(Rejected("too short to be speech")))
    _, aside, _ = world.fold([*world.events, LAST])
    assert aside[0].reasons[0].endswith(" s: too short to be speech")


def heavy(event, **change):
    """As large as an event may be."""
    blob = event.blob.model_copy(update={"key": "k" * 1024})
    return event.model_copy(update={"blob": blob, "subject_id": "ü" * 200, "speakers": ("ü" * 64,) * 8} | change)


def sizes_of(world, events):
    deriver, state, largest, artifacts, aside = world.deriver(), None, 0, {}, []
    for offset, event in enumerate(events):
        state, derived = deriver.advance(state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset)))
        largest = max(largest, len(state.model_dump_json()))
        artifacts |= {a.artifact_id: a for a in derived.artifacts if not isinstance(a, Retraction)}
        aside += derived.quarantined
    return largest, artifacts, aside, state


def test_chunks_that_wait_are_waited_for_less_long_before_the_state_outgrows_the_log():
    world = World()
    many = [
        heavy(world.events[0], event_id=f"{n}:" + "ü" * 190, chunk_index=n, start_s=float(n), ingested_at=NOW)
        for n in range(1, MAX_WAITING_CHUNKS)
    ]
    largest, artifacts, aside, state = sizes_of(world, many)
    assert largest < MAX_RECORD_BYTES
    assert gaps(artifacts) == [(0.0, 1.0)]  # what it did not wait for any longer, and all that came is there
    assert (state.next_index, state.waiting, aside) == (MAX_WAITING_CHUNKS, (), [])


def test_speech_in_many_large_chunks_is_cut_before_the_state_outgrows_the_log_and_none_of_it_is_lost():
    world = World()
    t = np.arange(15 * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * n * t) / n for n in range(1, 14)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    events = [
        heavy(event, event_id=f"{event.chunk_index}:" + "ü" * 190)
        for event in told(world, (voice * 6000)[None], size_s=0.03)
    ]
    largest, artifacts, aside, _ = sizes_of(world, [*events, LAST])
    assert largest < MAX_RECORD_BYTES
    assert (gaps(artifacts), aside) == ([], [])
    said = spoken(artifacts)
    assert len(said) > 1
    assert sum(end - start for _, start, end, _ in said) == pytest.approx(15, abs=0.5)
