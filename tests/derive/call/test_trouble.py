"""What goes wrong with calls: sources that contradict themselves, audio that vanishes, numbers in two breaths."""

from __future__ import annotations

import io
import re
import wave
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
from tests.builders import NOW, call_end, chunk
from tests.derive.call.test_fold import CHUNK_S, LENGTH_S, RATE, SPEECH, Scripted, World, gaps, spoken, tone_like_speech

LAST = call_end(ingested_at=NOW + timedelta(seconds=60), event_time=NOW + timedelta(seconds=60))


def step(world, state, event, offset=0):
    return world.deriver().advance(state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset)))


def wav(channels: np.ndarray, rate: int) -> bytes:
    """16-bit samples, shape ``(channels, samples)``."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(channels.T.astype("<i2").tobytes())
    return out.getvalue()


def told(world, channels, *, size_s=CHUNK_S, rate=RATE, **change):
    """The events of other audio, shape ``(channels, samples)``, in chunks of ``size_s``."""
    size = round(size_s * rate)
    pieces = [channels[:, at : at + size] for at in range(0, channels.shape[1], size)]
    return [
        chunk(
            n,
            start_s=n * size_s,
            duration_s=piece.shape[1] / rate,
            sample_rate=rate,
            channels=len(channels),
            blob=world.blobs.put(wav(piece, rate), media_type="audio/wav"),
            event_time=NOW + timedelta(seconds=n * size_s + piece.shape[1] / rate),
            ingested_at=NOW + timedelta(seconds=(n + 1) * size_s, milliseconds=50),
            **change,
        )
        for n, piece in enumerate(pieces)
    ]


def near(said, tolerance=0.1) -> bool:
    """One utterance for each burst, at its time but for the padding."""
    return len(said) == len(SPEECH) and all(
        begin - 0.45 - tolerance <= start <= begin + tolerance and stop - tolerance <= end <= stop + 0.45 + tolerance
        for (_, start, end, _), (begin, stop) in zip(said, SPEECH, strict=True)
    )


@pytest.mark.parametrize("size_s", [0.2, 0.5, 3.0, 30.0])
def test_the_size_of_the_chunks_does_not_matter(size_s):
    world = World()
    artifacts, aside, _ = world.fold([*told(world, tone_like_speech()[None], size_s=size_s), LAST])
    assert near(spoken(artifacts))
    assert aside == []


def test_a_rate_that_changes_in_the_middle_of_a_call_is_followed():
    world = World()
    finer = np.repeat(tone_like_speech(), 2)[None]
    other = told(world, finer, rate=2 * RATE)
    artifacts, aside, _ = world.fold([*world.events[:5], *other[5:], LAST])
    assert near(spoken(artifacts))
    assert aside == []


def test_two_speakers_are_heard_each_on_their_channel():
    world = World()
    voice = tone_like_speech()
    both = np.stack([voice, np.roll(voice, round(1.45 * RATE))])
    artifacts, _, _ = world.fold([*told(world, both, speakers=("agent", "customer")), LAST])
    said = [a for a in artifacts.values() if isinstance(a, Utterance)]
    assert {(a.channel, a.speaker) for a in said} == {(0, "agent"), (1, "customer")}
    assert near([each for each in spoken(artifacts) if each[0] == 0])
    assert {p.locator.speaker for p in artifacts.values() if isinstance(p, Passage)} == {"agent", "customer"}


def test_when_all_voices_are_on_both_channels_nobody_is_named():
    world = World()
    voice = tone_like_speech()
    artifacts, _, _ = world.fold([*told(world, np.stack([voice, voice]), speakers=("agent", "customer")), LAST])
    assert {(a.channel, a.speaker) for a in artifacts.values() if isinstance(a, Utterance)} == {(0, "channel-0")}


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_restart_anywhere_in_any_order_gives_the_same_artifacts(data):
    world = World()
    events = list(world.events)
    for place in data.draw(st.lists(st.integers(0, LENGTH_S - 2), max_size=5)):
        events[place], events[place + 1] = events[place + 1], events[place]
    lost = data.draw(st.sampled_from([None, 0, 3, 7, LENGTH_S - 1]))
    events = [*(event for event in events if event.chunk_index != lost), call_end(chunks=LENGTH_S)]
    cut = data.draw(st.integers(0, len(events)))

    def folded(restart_at):
        deriver, state, found = world.deriver(), None, []
        for offset, event in enumerate(events):
            if offset == restart_at and state is not None:
                deriver, state = world.deriver(), CallState.model_validate_json(state.model_dump_json())
            arrival = Arrival(event, Position(topic="t", topic_partition=0, offset=offset))
            state, derived = deriver.advance(state, arrival)
            found += derived.artifacts
        return stable([each.model_dump(mode="json") for each in (*found, state)])

    assert folded(cut) == folded(None)


def stable(dumped):
    """Without what measures this very run: when it was derived, and what was paid for."""
    if isinstance(dumped, list):
        return [stable(each) for each in dumped]
    if isinstance(dumped, dict):
        return {
            name: stable(each) for name, each in dumped.items() if name not in {"derived_at", "seconds", "memo_hit"}
        }
    return dumped


def test_what_the_source_says_is_missing_at_the_end_is_marked():
    world = World()
    artifacts, _, state = world.fold([*world.events[:-2], call_end(chunks=LENGTH_S)])
    assert gaps(artifacts) == [(10.0, 12.0)]
    assert (state.tail.first, state.tail.chunks) == (10, 2)


def test_what_comes_after_the_end_takes_its_mark_back():
    world = World()
    artifacts, _, state = world.fold([*world.events[:-2], call_end(chunks=LENGTH_S), *world.events[-2:]])
    assert (gaps(artifacts), state.gaps, state.tail) == ([], (), None)


def test_when_the_end_overtakes_everything_the_last_chunk_closes_the_call():
    world = World()
    artifacts, aside, _ = world.fold([call_end(chunks=LENGTH_S), *world.events])
    assert len(spoken(artifacts)) == len(SPEECH)
    assert (gaps(artifacts), aside) == ([], [])


def test_a_source_that_skips_a_billion_chunks_is_followed_and_the_state_stays_small():
    world = World()
    far = world.events[3].model_copy(update={"chunk_index": 10**9, "ingested_at": NOW + timedelta(seconds=9)})
    behind = world.events[4].model_copy(update={"chunk_index": 10**9 + 1, "ingested_at": NOW + timedelta(seconds=13)})
    artifacts, _, state = world.fold([*world.events[:3], far, behind])
    assert gaps(artifacts) == [(3.0, 3.0)]
    assert [gap.chunks for gap in state.gaps] == [10**9 - 3]
    assert state.next_index == 10**9 + 2
    assert len(state.model_dump_json()) < 4000


def test_a_source_that_sends_much_at_once_without_its_first_chunk_is_not_kept_waiting():
    world = World()
    many = [
        world.events[0].model_copy(
            update={"event_id": f"call-1:{n}", "chunk_index": n, "start_s": float(n), "ingested_at": NOW}
        )
        for n in range(1, MAX_WAITING_CHUNKS + 3)
    ]
    artifacts, _, state = world.fold(many)
    assert gaps(artifacts) == [(0.0, 1.0)]
    assert state.waiting == ()


def test_a_chunk_that_goes_back_in_time_is_set_aside_and_the_call_goes_on():
    world = World()
    events = list(world.events)
    events[5] = events[5].model_copy(update={"start_s": 1.0})
    artifacts, aside, _ = world.fold([*events, LAST])
    assert [(row.event_id, row.contract) for row in aside] == [("call-1:5", "call_timeline")]
    assert {round(start) for _, start, _, _ in spoken(artifacts)} >= {0, 3, 9}


def test_small_steps_of_the_clock_neither_lose_nor_move_what_is_said():
    world = World()
    shaken = [
        event.model_copy(update={"start_s": event.start_s + 0.03 * (n % 2)}) for n, event in enumerate(world.events)
    ]
    artifacts, aside, _ = world.fold([*shaken, LAST])
    assert near(spoken(artifacts))
    assert aside == []


def test_audio_that_was_heard_and_is_then_erased_becomes_a_gap_and_the_call_goes_on():
    world = World()
    state, found, aside = None, {}, []
    for offset, event in enumerate([*world.events, LAST]):
        if offset == 8:
            del world.blobs.data[world.events[7].blob.sha256]  # its speech goes on in chunk 7, which was taken in
        state, derived = step(world, state, event, offset)  # a new deriver each time: nothing is cached
        found |= {a.artifact_id: a for a in derived.artifacts}
        aside += derived.quarantined
    assert [(row.event_id, row.position.offset) for row in aside] == [("call-1:7", 7)]
    assert gaps(found) == [(7.0, 8.0)]
    assert any(start > 8.5 for _, start, _, _ in spoken(found))


def test_a_store_that_goes_away_in_the_middle_changes_nothing():
    world = World()
    state = None
    for event in world.events[:7]:
        state, _ = step(world, state, event)
    world.blobs.away = True
    with pytest.raises(Unavailable):
        step(world, state, world.events[7])
    world.blobs.away = False
    after, derived = step(world, state, world.events[7])
    assert (after.next_index, derived.quarantined) == (8, ())


class TwoBreaths(Scripted):
    """Dictates a number, half of it in each window."""

    def transcribe(self, audio, *, language=None):  # noqa: ARG002
        half = ("call", "555") if self.calls % 2 == 0 else ("0142", "please")
        self.calls += 1
        words = tuple(SpokenWord(n * 0.4, n * 0.4 + 0.3, text, 0.9) for n, text in enumerate(half))
        return [Segment(0.0, 0.8, " ".join(half), words, 0.0, -0.1, 1.0, "en")]


class WholeNumbers:
    """Finds a number only where it is whole."""

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
    world = World(asr=TwoBreaths(), redactor=WholeNumbers())
    artifacts, _, _ = world.fold([*world.events[:6], LAST], restart=restart)
    said = sorted((a for a in artifacts.values() if isinstance(a, Utterance)), key=lambda a: a.start_s)
    assert [a.text for a in said] == ["call [PHONE]", "[PHONE] please"]
    assert [[word.text for word in a.words] for a in said] == [["call", "[REDACTED]"], ["[REDACTED]", "please"]]
    assert [a.pii[0].entity for a in said] == ["PHONE", "PHONE"]
    passages = {p.source_artifact_id: p.text for p in artifacts.values() if isinstance(p, Passage)}
    assert passages == {a.artifact_id: a.text for a in said}


def test_an_utterance_ends_with_its_last_word_and_not_with_the_silence_behind_it():
    world = World(asr=TwoBreaths())
    artifacts, _, _ = world.fold([*world.events[:6], LAST])
    first = min((a for a in artifacts.values() if isinstance(a, Utterance)), key=lambda a: a.start_s)
    assert first.end_s == pytest.approx(first.start_s + 0.7)
    assert (first.stamps.event_time - NOW).total_seconds() == pytest.approx(first.end_s, abs=1e-3)


class Tongues(Scripted):
    """Tells long windows by themselves, and notes in which language each was to be heard."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[float, str | None]] = []

    def transcribe(self, audio, *, language=None):
        self.asked.append((audio.size / 16_000, language))
        found = super().transcribe(audio)
        return [Segment(f.start_s, f.end_s, f.text, f.words, 0.0, -0.1, 1.0, language or "sv") for f in found]


def test_a_short_window_is_heard_in_the_language_of_the_long_ones():
    world = World(asr=Tongues())
    t = np.arange(7 * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * n * t) / n for n in range(1, 14)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    voice = voice * ((t < 4) | ((t > 5.5) & (t < 6))) * 6000
    world.fold([*told(world, voice[None]), LAST])
    (long_s, first), (short_s, second) = world.asr.asked
    assert (long_s > 3, first) == (True, None)
    assert (short_s < 3, second) == (True, "sv")


def test_a_late_chunk_leaves_the_context_of_the_others_alone():
    world = World()
    events = [event for event in world.events if event.chunk_index != 1]
    artifacts, _, state = world.fold([*events, world.events[1], LAST])
    assert gaps(artifacts) == []
    assert [round(said.start_s) for said in state.channels[0].recent][-1] > 8
    assert not any(isinstance(a, Retraction) for a in artifacts.values())
