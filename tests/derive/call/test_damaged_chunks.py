"""Chunks that are damaged, cut off, or overlap: the good part is derived, and the rest is marked."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from mmplatform.derive.call.audio_cache import CallAudioCache
from mmplatform.derive.call.transcription import CachedTranscriber
from mmplatform.derive.media.audio import probe
from tests.builders import NOW, call_end
from tests.derive.call.simulated_calls import (
    LENGTH_S,
    RATE,
    SPEECH,
    SimulatedCall,
    gaps,
    one_per_burst,
    spoken,
    tone_like_speech,
    wav,
)
from tests.derive.media.audio_files import encoded

LAST = call_end(ingested_at=NOW + timedelta(seconds=60), event_time=NOW + timedelta(seconds=60))


def with_audio(call, event, data: bytes, media_type: str = "audio/wav", **change):
    """An event with other bytes, as long as the gateway's probe says."""
    blob = call.blobs.put(data, media_type=media_type)
    return event.model_copy(update={"blob": blob, "duration_s": probe(data, media_type).duration_s} | change)


def samples(start_s: float, end_s: float) -> np.ndarray:
    return tone_like_speech()[None, round(start_s * RATE) : round(end_s * RATE)]


def reasons(quarantined) -> list[tuple[str, str]]:
    return [(row.contract, row.reasons[0]) for row in quarantined]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("overlap_s", [0.3, 0.5, 0.9])
def test_of_a_chunk_that_overlaps_the_one_before_the_new_part_is_derived(overlap_s, restart):
    call = SimulatedCall()
    events = list(call.events)
    events[7] = with_audio(call, events[7], wav(samples(7 - overlap_s, 8), RATE), start_s=7 - overlap_s)
    artifacts, quarantined, _ = call.fold([*events, LAST], restart=restart)
    assert one_per_burst(spoken(artifacts))
    assert gaps(artifacts) == []
    starts = f"chunk 7 starts at {7 - overlap_s:g} s, but 7 s came before it: the rest of it is derived"
    assert reasons(quarantined) == [("call_timeline", starts)]


def test_the_audio_of_an_overlapping_chunk_is_cut_again_to_the_same_samples():
    call, whole = SimulatedCall(), SimulatedCall()
    events = list(call.events)
    events[7] = with_audio(call, events[7], wav(samples(6.6, 8), RATE), start_s=6.6)
    artifacts, _, state = call.fold([*events, LAST])
    assert spoken(artifacts) == spoken(whole.fold([*whole.events, LAST])[0])
    [recent] = [utterance for utterance in state.channels[0].recent if 5.5 < utterance.start_s < 7]
    audio = CallAudioCache(call.blobs).cut(recent.origin)
    assert CachedTranscriber(call.asr, call.memo).key(audio, recent.language) == recent.key


def test_a_late_chunk_that_is_longer_than_its_gap_fills_it():
    call = SimulatedCall()
    late = with_audio(call, call.events[7], wav(samples(6.5, 8.5), RATE), start_s=6.5)
    late = late.model_copy(update={"ingested_at": NOW + timedelta(seconds=50)})
    artifacts, quarantined, _ = call.fold([*call.events[:7], *call.events[8:], late, LAST])
    assert gaps(artifacts) == []
    assert reasons(quarantined) == [
        ("call_timeline", "chunk 7 is not within 7 to 8 s, where it was missed: the part within is derived")
    ]
    assert any(7 <= start < 8 or start < 7 < end for _, start, end, _ in spoken(artifacts))


@pytest.mark.parametrize("share", [0.9, 0.6])
def test_a_chunk_that_was_cut_off_leaves_a_gap_of_what_is_missing(share):
    call = SimulatedCall()
    events = list(call.events)
    whole = call.blobs.get(events[11].blob)
    events[11] = with_audio(call, events[11], whole[: 44 + int(share * (len(whole) - 44))])
    assert events[11].duration_s == 1.0
    artifacts, quarantined, _ = call.fold([*events, LAST])
    assert gaps(artifacts) == [(11 + share, 12.0)]
    assert quarantined == []
    assert one_per_burst(spoken(artifacts))


def damaged_flac(call):
    """The whole call in one chunk, of which two frames in the second burst are damaged."""
    data = bytearray(encoded("flac", "flac", tone_like_speech()[None].astype(np.float32) / 32768, RATE))
    middle = int(len(data) * 0.4)
    data[middle : middle + 250] = bytes(250)
    return with_audio(call, call.events[0], bytes(data), "audio/flac")


@pytest.mark.parametrize("restart", [False, True])
def test_what_cannot_be_decoded_within_a_chunk_is_a_gap_and_all_else_keeps_its_time(restart):
    call = SimulatedCall()
    artifacts, quarantined, _ = call.fold([damaged_flac(call), LAST], restart=restart)
    found = gaps(artifacts)
    assert found
    assert sum(end - start for start, end in found) < 0.8
    assert quarantined == []
    starts = [start for _, start, _, _ in spoken(artifacts)]
    for begin, end in SPEECH:
        assert any(abs(begin - start) < 0.55 for start in starts) or any(
            begin <= gap_start <= end for gap_start, _ in found
        )


def test_damage_in_a_late_chunk_is_marked_too():
    call = SimulatedCall()
    whole = call.blobs.get(call.events[7].blob)
    late = with_audio(call, call.events[7], whole[: 44 + int(0.8 * (len(whole) - 44))])
    late = late.model_copy(update={"ingested_at": NOW + timedelta(seconds=50)})
    artifacts, _, _ = call.fold([*call.events[:7], *call.events[8:], late, LAST])
    assert gaps(artifacts) == [(7.8, 8.0)]


def test_the_chunk_after_a_streaming_wav_with_a_title_continues_the_call():
    call = SimulatedCall()
    events = list(call.events)
    whole = bytearray(call.blobs.get(events[5].blob))
    whole[40:44] = b"\xff" * 4
    title = b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf60.16.100\0" * 300
    events[5] = with_audio(call, events[5], bytes(whole) + title)
    assert events[5].duration_s == 1.0
    artifacts, quarantined, state = call.fold([*events, LAST])
    assert (gaps(artifacts), quarantined, state.next_index) == ([], [], LENGTH_S)
    assert one_per_burst(spoken(artifacts))
