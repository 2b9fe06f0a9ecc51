"""The fold over a call's events, with a scripted transcriber: what matters here is order, borders and what is kept."""

from __future__ import annotations

import hashlib
import io
import re
import wave
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mmplatform.artifacts import Passage, Retraction, Utterance
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.call.state import CallState
from mmplatform.errors import Rejected, Unavailable
from mmplatform.events import Arrival, Position
from mmplatform.memo import MemoryMemo
from mmplatform.ports import Redacted, Segment, SpokenWord
from tests.builders import NOW, blob, call_end, chunk

RATE = 8000
SPEECH = [(0.5, 1.8), (3.2, 4.6), (6.3, 7.7), (9.1, 10.4)]
LENGTH_S = 12
CHUNK_S = 1.0


class MemoryBlobs:
    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.away = False

    def put(self, data, *, media_type):
        ref = blob(data, media_type)
        self.data[ref.sha256] = data
        return ref

    def get(self, ref):
        if self.away:
            raise Unavailable("away")
        if ref.sha256 not in self.data:
            raise Rejected("blob is missing")
        return self.data[ref.sha256]


class Scripted:
    """Says how long each window is, to a tenth of a second: another cut is another text."""

    name, version = "scripted", "1"

    def __init__(self) -> None:
        self.calls = 0

    def transcribe(self, audio, *, language=None):  # noqa: ARG002
        self.calls += 1
        length = audio.size / 16_000
        words = tuple(
            SpokenWord(n * length / 3, (n + 1) * length / 3, text, 0.9)
            for n, text in enumerate(("heard", f"{length:.2f}", "seconds"))
        )
        return [Segment(0.0, length, "ignored", words, 0.01, -0.2, 1.0, "en")]


class Plain:
    name, version = "plain", "1"

    def redact(self, texts, *, spoken=False):
        assert spoken
        return [Redacted(text, (), ()) for text in texts]


class Flat:
    name, version, dimensions = "flat", "1", 4

    def embed(self, texts):
        return np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (len(texts), 1))


def tone_like_speech() -> np.ndarray:
    """Bursts of a voiced sound (harmonics of 140 Hz, swelling), silence between: the detector takes it for speech."""
    t = np.arange(LENGTH_S * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * n * t) / n for n in range(1, 14)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    on = np.zeros_like(t)
    for start, end in SPEECH:
        on[(t >= start) & (t < end)] = 1.0
    return (voice * on * 6000).astype("<i2")


def wav(samples: np.ndarray, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.repeat(samples[:, None], channels, axis=1).tobytes() if channels > 1 else samples.tobytes())
    return out.getvalue()


class World:
    def __init__(self, *, channels: int = 1, asr=None, redactor=None) -> None:
        self.blobs, self.memo, self.asr = MemoryBlobs(), MemoryMemo(), asr or Scripted()
        self.redactor = redactor or Plain()
        samples = tone_like_speech()
        size = int(CHUNK_S * RATE)
        self.events = [
            chunk(
                n,
                start_s=n * CHUNK_S,
                duration_s=CHUNK_S,
                sample_rate=RATE,
                channels=channels,
                blob=self.blobs.put(wav(samples[n * size : (n + 1) * size], channels), media_type="audio/wav"),
                event_time=NOW + timedelta(seconds=n + 1),
                ingested_at=NOW + timedelta(seconds=n + 1, milliseconds=50),
            )
            for n in range(LENGTH_S)
        ]

    def deriver(self) -> CallDeriver:
        return CallDeriver(self.asr, Flat(), self.redactor, self.memo, self.blobs, gap_timeout_s=3.0)

    def fold(self, events, *, restart: bool = False):
        deriver, state, artifacts, aside = self.deriver(), None, {}, []
        for offset, event in enumerate(events):
            if restart and state is not None:
                deriver, state = self.deriver(), CallState.model_validate_json(state.model_dump_json())
            state, derived = deriver.advance(
                state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset))
            )
            for artifact in derived.artifacts:
                if isinstance(artifact, Retraction):
                    del artifacts[artifact.artifact_id]
                else:
                    artifacts[artifact.artifact_id] = artifact
            aside += derived.quarantined
        return artifacts, aside, state


def spoken(artifacts) -> list[tuple[int, float, float, str]]:
    """What was said, without the times at which we found out."""
    return sorted(
        (a.channel, round(a.start_s, 3), round(a.end_s, 3), a.text)
        for a in artifacts.values()
        if isinstance(a, Utterance) and a.status == "final"
    )


def gaps(artifacts) -> list[tuple[float, float]]:
    return sorted(
        (round(a.start_s, 1), round(a.end_s, 1))
        for a in artifacts.values()
        if isinstance(a, Utterance) and a.status == "gap"
    )


def test_each_burst_is_one_utterance_at_its_time():
    world = World()
    artifacts, aside, state = world.fold([*world.events, call_end()])
    said = spoken(artifacts)
    assert len(said) == len(SPEECH)
    for (_, start, end, _), (begin, stop) in zip(said, SPEECH, strict=True):
        assert begin - 0.45 <= start <= begin + 0.05
        assert stop - 0.05 <= end <= stop + 0.45
    assert (aside, state.ended) == ([], True)


def test_each_utterance_has_a_passage_with_its_place():
    world = World()
    artifacts, _, _ = world.fold([*world.events, call_end()])
    passages = [a for a in artifacts.values() if isinstance(a, Passage)]
    assert {(p.locator.start_s, p.text) for p in passages} == {
        (a.start_s, a.text) for a in artifacts.values() if isinstance(a, Utterance)
    }


def test_an_utterance_says_when_it_ended_and_what_it_was_made_of():
    world = World()
    artifacts, _, _ = world.fold([*world.events, call_end()])
    first = min((a for a in artifacts.values() if isinstance(a, Utterance)), key=lambda a: a.start_s)
    assert (first.stamps.event_time - NOW).total_seconds() == pytest.approx(first.end_s, abs=0.01)
    assert first.provenance.event_ids[:2] == ("call-1:0", "call-1:1")
    assert len(first.provenance.event_ids) == 2 + (first.end_s > 2.0)
    assert [word.text for word in first.words] == first.text.split()
    assert first.words[-1].end_s <= first.end_s + 0.01


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_order_within_patience_and_with_duplicates_gives_the_same_utterances(data):
    world = World()
    wanted, _, _ = world.fold([*world.events, call_end()])
    swapped = list(world.events)
    for place in data.draw(st.lists(st.integers(0, LENGTH_S - 2), max_size=6)):
        swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
    assume(all(abs(place - event.chunk_index) < 3 for place, event in enumerate(swapped)))
    doubled = [event for event in swapped for _ in range(data.draw(st.integers(1, 2)))]
    found, aside, _ = world.fold([*doubled, call_end()])
    assert spoken(found) == spoken(wanted)
    assert (gaps(found), aside) == ([], [])


def test_a_restart_between_any_two_events_changes_nothing_and_pays_nothing_twice():
    world = World()
    wanted, _, _ = world.fold([*world.events, call_end()])
    paid = world.asr.calls
    found, _, _ = world.fold([*world.events, call_end()], restart=True)
    assert spoken(found) == spoken(wanted)
    assert found.keys() == wanted.keys()
    assert world.asr.calls == paid


def test_a_missing_chunk_is_waited_for_then_marked_and_never_bridged():
    world = World()
    events = [event for event in world.events if event.chunk_index != 4]
    artifacts, _, _ = world.fold([*events, call_end()])
    assert gaps(artifacts) == [(4.0, 5.0)]
    assert all(end <= 4.05 or start >= 4.95 for _, start, end, _ in spoken(artifacts))


def test_a_chunk_that_comes_after_its_gap_takes_the_mark_back():
    world = World()
    late = world.events[7]
    events = [event for event in world.events if event.chunk_index != 7]
    artifacts, _, state = world.fold([*events, late, call_end()])
    assert gaps(artifacts) == []
    assert state.gaps == ()
    assert any(start >= 7.0 and end <= 8.0 for _, start, end, _ in spoken(artifacts))


def test_a_chunk_within_patience_leaves_no_mark():
    world = World()
    events = list(world.events)
    events[4], events[5], events[6] = events[5], events[6], events[4]
    artifacts, _, _ = world.fold([*events, call_end()])
    assert gaps(artifacts) == []
    assert len(spoken(artifacts)) == len(SPEECH)


def test_a_missing_blob_is_set_aside_with_its_reason_and_the_call_goes_on():
    world = World()
    del world.blobs.data[world.events[3].blob.sha256]
    artifacts, aside, _ = world.fold([*world.events, call_end()])
    assert [(row.event_id, row.contract) for row in aside] == [("call-1:3", "blob")]
    assert gaps(artifacts) == [(3.0, 4.0)]
    assert any(start > 6 for _, start, _, _ in spoken(artifacts))


def test_a_store_that_is_away_takes_nothing_in():
    world = World()
    deriver = world.deriver()
    world.blobs.away = True
    with pytest.raises(Unavailable):
        deriver.advance(None, Arrival(world.events[0], Position(topic="t", topic_partition=0, offset=0)))


def test_a_call_that_falls_silent_is_derived_and_may_go_on():
    world = World()
    idle = call_end(event_id="idle", reason="idle")
    artifacts, _, state = world.fold([*world.events[:2], idle, *world.events[2:], call_end()])
    assert len(spoken(artifacts)) == len(SPEECH)
    assert state.ended


def test_an_end_before_anything_and_a_second_end_are_harmless():
    world = World()
    artifacts, aside, state = world.fold([call_end(), call_end(), *world.events, call_end(), call_end()])
    assert len(spoken(artifacts)) == len(SPEECH)
    assert (aside, state.ended) == ([], True)


def test_the_same_voice_on_both_channels_is_heard_once():
    world = World(channels=2)
    artifacts, _, _ = world.fold([*world.events, call_end()])
    assert {channel for channel, *_ in spoken(artifacts)} == {0}


def test_the_state_holds_pointers_and_stays_small():
    world = World()
    _, _, state = world.fold(world.events * 3)
    assert len(state.model_dump_json()) < 4000
    assert len(state.run) <= 3


def test_words_that_a_redacted_span_touches_are_hidden():
    class Hides(Plain):
        def redact(self, texts, *, spoken=False):  # noqa: ARG002
            found = [[match.span() for match in re.finditer(r"[0-9.]+", text)] for text in texts]
            return [
                Redacted(re.sub(r"[0-9.]+", "[NUMBER]", text), ("NUMBER",) * len(spans), tuple(spans))
                for text, spans in zip(texts, found, strict=True)
            ]

    world = World()
    deriver = CallDeriver(world.asr, Flat(), Hides(), world.memo, world.blobs, gap_timeout_s=3.0)
    state, found = None, []
    for offset, event in enumerate([*world.events, call_end()]):
        state, derived = deriver.advance(state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset)))
        found += [a for a in derived.artifacts if isinstance(a, Utterance)]
    assert {word.text for a in found for word in a.words} == {"heard", "[REDACTED]", "seconds"}
    assert {a.text for a in found} == {"heard [NUMBER] seconds"}
    assert found[0].pii[0].entity == "NUMBER"


def test_two_calls_of_the_same_audio_are_paid_for_once():
    world = World()
    world.fold([*world.events, call_end()])
    paid = world.asr.calls
    again = [
        event.model_copy(update={"conversation_id": "call-2", "event_id": f"call-2:{event.chunk_index}"})
        for event in world.events
    ]
    artifacts, _, _ = world.fold([*again, call_end(conversation_id="call-2")])
    assert world.asr.calls == paid
    assert all(a.provenance.memo_hit for a in artifacts.values() if isinstance(a, Utterance))
    assert hashlib.sha256(b"").hexdigest() not in str(artifacts)


def test_what_was_said_is_about_whom_the_chunks_are_about_whoever_ends_the_call():
    world = World()
    artifacts, _, _ = world.fold([*world.events, call_end(subject_id="somebody-else")])
    assert {artifact.subject_id for artifact in artifacts.values()} == {"cust-1"}
