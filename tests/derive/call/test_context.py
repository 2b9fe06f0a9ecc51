"""Context of redaction: cut out of the blobs again, bit by bit, also when its chunks lie in a blob, or are missing."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mmplatform.artifacts import Utterance
from mmplatform.derive.call.audio_cache import CallAudioCache
from mmplatform.derive.call.segmenter import Segmenter, origin_from_window
from mmplatform.derive.call.state import CallState, ChunkRef
from mmplatform.errors import Unavailable
from tests.builders import arrival, call_end, position
from tests.derive.call.simulated_calls import (
    RATE,
    DigitRedactor,
    MemoryBlobs,
    SimulatedCall,
    tone_like_speech,
    utterances_in_order,
    wav,
)
from tests.derive.test_purity import RepeatableTranscriber, SilentMemo

CALL = SimulatedCall()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    padding=st.lists(st.integers(-400, 1200), min_size=12, max_size=12),
    jitter=st.lists(st.floats(-0.1, 0.1), min_size=12, max_size=12),
    lost=st.sets(st.integers(0, 11), max_size=2),
    start_s=st.floats(0, 4000),
)
def test_a_window_is_cut_again_to_the_same_samples(padding, jitter, lost, start_s):
    """Chunks that are longer or shorter than declared, holes and overlaps between them, and lost audio."""
    blobs, voice = MemoryBlobs(), tone_like_speech()
    stereo = np.stack([voice, np.roll(voice, 5 * RATE)])
    run = []
    for n, event in enumerate(CALL.events):
        samples = stereo[:, n * RATE : (n + 1) * RATE + padding[n]]
        ref = blobs.put(wav(samples, RATE), media_type="audio/wav")
        placed = event.model_copy(update={"blob": ref, "start_s": start_s + n + jitter[n] if n else start_s})
        run.append(ChunkRef.from_event(placed, position(n)).model_copy(update={"lost": n in lost}))
    segmenter, again = Segmenter(CallAudioCache(blobs)), CallAudioCache(blobs)
    open_run, channels, windows = (), (), []
    for chunk in run:
        open_run, channels = segmenter.append(open_run, channels, chunk)
        found = segmenter.find_windows(open_run, channels, closed=chunk is run[-1])
        open_run, channels, windows = found.run, found.channels, windows + list(found.windows)
    assert windows
    for window in windows:
        origin = origin_from_window(window)
        assert np.array_equal(again.cut(origin), window.audio)
        assert origin.event_ids == tuple(chunk.event_id for chunk in window.chunks)
        assert origin.blobs == tuple(chunk.blob for chunk in window.chunks)
        assert type(origin).model_validate_json(origin.model_dump_json()) == origin


def dictated(events, call, *, before_last=lambda: None, restart=True):
    deriver, state, artifacts = call.deriver(), None, {}
    for offset, event in enumerate(events):
        if event is events[-1]:
            before_last()
        if restart and state is not None:
            deriver, state = call.deriver(), CallState.model_validate_json(state.model_dump_json())
        state, derived = deriver.advance(state, arrival(event, offset))
        artifacts |= {a.artifact_id: a for a in derived.artifacts if isinstance(a, Utterance)}
    return [a.text for a in utterances_in_order(artifacts)], state


def forgetful_call():
    call = SimulatedCall(asr=RepeatableTranscriber(), redactor=DigitRedactor())
    call.memo = SilentMemo()
    return call


def test_pointers_of_an_utterance_of_many_small_chunks_lie_in_a_blob():
    call = forgetful_call()
    small = call.chunk_events(tone_like_speech()[None], size_s=0.02)
    texts, state = dictated([*small, call_end()], call)
    assert texts == ["my number is [PHONE]", "[PHONE]", "[PHONE]", "thank you"]
    assert all(recent.spilled_chunks and not recent.origin.chunks for recent in state.channels[0].recent)
    assert len(orjson.dumps(state.model_dump(mode="json"))) < 10_000


def test_an_utterance_whose_audio_was_erased_is_left_out_and_the_call_goes_on():
    call = forgetful_call()
    first = {call.events[n].blob.sha256 for n in (0, 1)}
    with capture_logs() as logs:
        texts, _ = dictated([*call.events[:7], call_end()], call, before_last=lambda: erase(call.blobs, first))
    assert texts == ["my number is 415", "[PHONE]", "[PHONE]"], "the second and third breath alone"
    left_out = [log for log in logs if "left out" in log["event"]]
    assert {log["reason"] for log in left_out} == {"Rejected"}
    assert set(left_out[0]) == {"event", "log_level", "reason", "position", "channel", "start_s"}


def erase(blobs, shas):
    for sha256 in shas:
        blobs.data.pop(sha256)


def test_a_blob_store_that_does_not_answer_leaves_nothing_out():
    call = forgetful_call()
    with pytest.raises(Unavailable):
        dictated([*call.events, call_end()], call, before_last=lambda: setattr(call.blobs, "away", True))


@pytest.mark.parametrize("change", [{"transcriber": "asr/another@2"}, {"chars": 4}, {"key": "0" * 64}])
def test_an_utterance_that_cannot_be_heard_as_before_is_left_out(change):
    call = forgetful_call()
    _, state = dictated(call.events[:7], call)
    [channel] = state.channels
    changed = channel.model_copy(update={"recent": tuple(r.model_copy(update=change) for r in channel.recent)})
    with capture_logs() as logs:
        _, derived = call.deriver().advance(state.model_copy(update={"channels": (changed,)}), arrival(call_end(), 99))
    assert [a.text for a in derived.artifacts if isinstance(a, Utterance)] == ["0123"]
    assert len([log for log in logs if "left out" in log["event"]]) == 2
