"""Audio that is missing, late or repeated: none vanishes without a record."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmplatform.artifacts import Retraction, Utterance
from mmplatform.derive.call.dedup import PAGE_CHUNKS
from mmplatform.derive.call.state import MAX_GAPS, CallState
from mmplatform.events import Arrival, Position
from tests.builders import NOW, call_end, chunk
from tests.derive.call.simulated_calls import (
    CHUNK_S,
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

LAST = call_end(ingested_at=NOW + timedelta(hours=1), event_time=NOW + timedelta(hours=1))


def moved(event, index, *, ingested_s=None, **change):
    """The audio of an event at another index of the call."""
    moment = NOW + timedelta(seconds=index + 1)
    came = moment if ingested_s is None else NOW + timedelta(seconds=ingested_s)
    fields = {"event_id": f"call-1:{index}", "chunk_index": index, "start_s": index * CHUNK_S}
    return event.model_copy(update=fields | {"event_time": moment, "ingested_at": came} | change)


def silent(call, index, **change):
    return moved(call.events[11], index, **change)


def rejections(quarantined) -> list[tuple[str, str, str]]:
    return [(row.event_id, row.contract, row.reasons[0]) for row in quarantined]


def test_late_audio_of_an_offline_phone_is_transcribed_however_much_was_missing():
    call = SimulatedCall()
    online = [silent(call, 300 + n) for n in range(LENGTH_S)]
    late = [moved(event, n, ingested_s=400 + n) for n, event in enumerate(call.events)]
    artifacts, quarantined, state = call.fold([*online, *late, LAST])
    assert quarantined == []
    assert gaps(artifacts) == [(12.0, 300.0)]
    assert [(gap.first, gap.last) for gap in state.gaps] == [(12, 299)]
    assert one_per_burst(spoken(artifacts))  # whole, though each chunk of it came late
    assert call.asr.calls == len(SPEECH)


def test_a_late_stretch_is_derived_before_the_call_ends_when_no_chunk_continues_it():
    call = SimulatedCall()
    late = [moved(event, n, ingested_s=60 + n) for n, event in enumerate(call.events[:5])]
    live = [silent(call, 100 + n, ingested_s=50 + 3 * n) for n in range(8)]
    artifacts, _, state = call.fold([*live[:4], *late, *live[4:]])
    assert state.late is None
    assert len(spoken(artifacts)) == 2
    assert gaps(artifacts) == [(5.0, 100.0)]


def test_a_gap_of_three_hundred_chunks_is_marked_from_its_first_second_to_its_last():
    call = SimulatedCall()
    artifacts, _, _ = call.fold([*call.events, *(silent(call, 312 + n) for n in range(5)), LAST])
    assert gaps(artifacts) == [(12.0, 312.0)]


def test_the_same_audio_again_is_a_duplicate_wherever_in_the_call_it_lay():
    call = SimulatedCall()
    many = [silent(call, n, blob=call.events[n % 12].blob) for n in range(2 * PAGE_CHUNKS + 20)]
    artifacts, _, _ = call.fold([*many, LAST])
    again, quarantined, _ = call.fold([*many, *many[::7], LAST], restart=True)
    assert spoken(again) == spoken(artifacts)
    assert (gaps(again), quarantined) == ([], [])


def test_other_audio_under_an_accepted_index_is_quarantined_with_the_reason():
    call = SimulatedCall()
    other_audio = [moved(call.events[9], n, event_id=f"again:{n}") for n in (0, 5)]
    artifacts, quarantined, _ = call.fold([*call.events, *other_audio, LAST])
    assert rejections(quarantined) == [
        (f"again:{n}", "raw_calls", f"chunk {n} came before with other audio") for n in (0, 5)
    ]
    assert len(spoken(artifacts)) == len(SPEECH)


def test_a_call_id_that_is_used_for_another_call_loses_nothing_in_silence():
    call = SimulatedCall()
    second = [
        moved(call.events[(n + 5) % LENGTH_S], n, event_id=f"second:{n}", ingested_s=100 + n) for n in range(LENGTH_S)
    ]
    _, quarantined, _ = call.fold([*call.events, call_end(chunks=LENGTH_S), *second, call_end(chunks=LENGTH_S)])
    assert [row.event_id for row in quarantined] == [f"second:{n}" for n in range(LENGTH_S)]


def test_while_a_chunk_waits_its_repetition_is_a_duplicate_and_other_audio_is_quarantined():
    call = SimulatedCall()
    events = [call.events[0], call.events[2], call.events[2], moved(call.events[0], 2, event_id="other")]
    _, quarantined, state = call.fold(events)
    assert [row.event_id for row in quarantined] == ["other"]
    assert [chunk.event_id for chunk in state.waiting] == ["call-1:2"]


def test_when_a_page_of_fingerprints_was_lost_an_old_repetition_is_quarantined_as_unknown():
    call = SimulatedCall()
    many = [silent(call, n) for n in range(2 * PAGE_CHUNKS + 20)]
    _, quarantined, state = call.fold(many)
    assert quarantined == []
    for sha256 in {key.rsplit("/", 1)[-1] for _, key in state.taken.kept}:
        del call.blobs.data[sha256]
    _, quarantined, _ = fold_on(call, state, [many[3], many[-3]])
    assert rejections(quarantined) == [("call-1:3", "raw_calls", "whether chunk 3 came before is not known any more")]


def fold_on(call, state, events):
    deriver, found, quarantined = call.deriver(), [], []
    for offset, event in enumerate(events):
        state, derived = deriver.advance(
            state, Arrival(event, Position(topic="t", topic_partition=0, offset=1000 + offset))
        )
        found += derived.artifacts
        quarantined += derived.quarantined
    return found, quarantined, state


def test_of_a_source_with_endless_gaps_the_last_ones_are_stored_and_late_chunks_of_others_are_quarantined():
    call = SimulatedCall()
    odd = [silent(call, 2 * n + 1, ingested_s=10 * n) for n in range(MAX_GAPS + 30)]
    artifacts, quarantined, state = call.fold(odd)
    assert len(state.gaps) == MAX_GAPS
    assert len(gaps(artifacts)) >= MAX_GAPS + 20
    found, quarantined, after = fold_on(call, state, [silent(call, 2), silent(call, state.gaps[5].first)])
    assert rejections(quarantined) == [("call-1:2", "raw_calls", "whether chunk 2 came before is not known any more")]
    assert len(after.gaps) == MAX_GAPS - 1
    assert [type(artifact) for artifact in found] == [Retraction]


def test_a_chunk_that_could_not_be_read_is_read_when_it_is_sent_again_whole():
    call = SimulatedCall()
    broken = call.blobs.put(b"RIFF", media_type="audio/wav")
    events = list(call.events)
    events[7] = events[7].model_copy(update={"blob": broken, "event_id": "broken"})
    artifacts, quarantined, _ = call.fold([*events, events[7], LAST])
    assert {row.event_id for row in quarantined} == {"broken"}
    assert gaps(artifacts) == [(7.0, 8.0)]
    artifacts, quarantined, _ = call.fold([*events, call.events[7], LAST])
    assert gaps(artifacts) == []
    assert any(6.9 < start < 7.1 for _, start, _, _ in spoken(artifacts))


def test_a_late_chunk_that_does_not_fit_its_gap_is_quarantined_and_the_gap_stays():
    call = SimulatedCall()
    events = [event for event in call.events if event.chunk_index != 7]
    artifacts, quarantined, _ = call.fold([*events, moved(call.events[7], 7, start_s=2.0), LAST])
    assert [(row.event_id, row.contract) for row in quarantined] == [("call-1:7", "call_timeline")]
    assert gaps(artifacts) == [(7.0, 8.0)]


def test_a_pause_of_the_source_is_marked_though_no_chunk_is_missing():
    call = SimulatedCall()
    later = [event.model_copy(update={"start_s": event.start_s + 30}) for event in call.events[6:]]
    artifacts, quarantined, state = call.fold([*call.events[:6], *later, LAST])
    assert gaps(artifacts) == [(6.0, 36.0)]
    assert (quarantined, state.gaps) == ([], ())


def test_a_call_that_begins_late_by_its_own_clock_has_its_beginning_marked():
    call = SimulatedCall()
    artifacts, _, _ = call.fold([event.model_copy(update={"start_s": event.start_s + 30}) for event in call.events])
    assert gaps(artifacts) == [(0.0, 30.0)]


def test_a_late_chunk_shorter_than_its_gap_leaves_the_rest_marked():
    call = SimulatedCall()
    size = round(0.5 * RATE)
    short = call.blobs.put(wav(tone_like_speech()[None, 3 * RATE : 3 * RATE + size], RATE), media_type="audio/wav")
    events = [event for event in call.events if event.chunk_index != 3]
    late = chunk(3, start_s=3.0, duration_s=0.5, blob=short, event_time=NOW, ingested_at=NOW + timedelta(seconds=50))
    artifacts, _, state = call.fold([*events, late, LAST])
    assert gaps(artifacts) == [(3.5, 4.0)]
    assert state.gaps == ()


def test_a_late_chunk_with_a_new_channel_needs_no_old_audio():
    call = SimulatedCall()
    voice = tone_like_speech()[3 * RATE : 4 * RATE]
    both = call.blobs.put(wav(np.stack([voice, np.roll(voice, RATE // 3)]), RATE), media_type="audio/wav")
    events = [event for event in call.events if event.chunk_index != 3]
    _, _, state = call.fold([*events, moved(call.events[3], 3, ingested_s=50, blob=both, channels=2)])
    assert len(state.channels) == 2
    assert min(channel.keep_s for channel in state.channels) >= state.run[0].start_s


def test_a_call_whose_counted_chunks_never_came_is_one_gap():
    call = SimulatedCall()
    artifacts, quarantined, state = call.fold([call_end(chunks=5)])
    assert gaps(artifacts) == [(0.0, 0.0)]
    assert (quarantined, state.tail.chunks) == ([], 5)


def test_of_the_chunks_that_the_end_overtook_only_missing_ones_stay_marked():
    call = SimulatedCall()
    idle = call_end(event_id="idle", reason="idle", ingested_at=NOW + timedelta(seconds=60))
    events = [event for event in call.events[:-2] if event.chunk_index != 7]
    artifacts, quarantined, _ = call.fold([call_end(chunks=LENGTH_S), *events, idle])
    assert gaps(artifacts) == [(7.0, 8.0), (10.0, 12.0)]
    assert quarantined == []


def test_the_state_of_a_complete_call_is_tiny():
    call = SimulatedCall()
    many = [silent(call, LENGTH_S + n) for n in range(2 * PAGE_CHUNKS)]
    deriver_events = [*call.events, *many, call_end(chunks=LENGTH_S + 2 * PAGE_CHUNKS)]
    _, _, state = call.fold(deriver_events)
    assert state.complete
    assert len(state.model_dump_json()) < 500
    found, quarantined, after = fold_on(call, state, [*call.events, *many[::5], deriver_events[-1]])
    assert (found, quarantined, after) == ([], [], state)
    _, quarantined, _ = fold_on(call, state, [silent(call, 3, event_id="other")])
    assert [row.event_id for row in quarantined] == ["other"]


@pytest.mark.parametrize("chunks", [None, LENGTH_S + 1])
def test_the_state_of_a_call_that_may_go_on_has_its_recent_utterances(chunks):
    call = SimulatedCall()
    _, _, state = call.fold([*call.events, call_end(chunks=chunks)])
    assert not state.complete
    assert state.channels[0].recent


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_second_of_a_call_is_derived_or_marked_and_never_both(data):
    """Whatever is lost, late, doubled or out of order, with a new worker for each event or with one for all."""
    call = SimulatedCall()
    lost = data.draw(st.sets(st.integers(0, LENGTH_S - 1), max_size=6))
    late = data.draw(st.sets(st.integers(0, LENGTH_S - 1), max_size=4)) - lost
    present = [event for event in call.events if event.chunk_index not in lost | late]
    for index in data.draw(st.lists(st.integers(0, LENGTH_S - 2), max_size=6)):
        if index + 1 < len(present):
            present[index], present[index + 1] = present[index + 1], present[index]
    again = [call.events[n] for n in sorted(late)]
    events = [*present, *data.draw(st.permutations(again)), *present[::3]]
    end = call_end(chunks=LENGTH_S, ingested_at=NOW + timedelta(hours=1))
    events.insert(data.draw(st.integers(0, len(events))), end)
    idle = call_end(event_id="idle", reason="idle", ingested_at=NOW + timedelta(hours=2))
    artifacts, quarantined, state = call.fold([*events, idle])
    assert quarantined == []
    after_restarts, _, _ = call.fold([*events, idle], restart=True)
    assert after_restarts.keys() == artifacts.keys()
    assert spoken(after_restarts) == spoken(artifacts)
    marked = [(a.start_s, a.end_s) for a in artifacts.values() if isinstance(a, Utterance) and a.status == "gap"]
    for second in range(LENGTH_S):
        middle = second + 0.5
        assert any(start < middle < end for start, end in marked) == (second in lost), second
    assert state.complete == (not lost)
    assert CallState.model_validate_json(state.model_dump_json()) == state
