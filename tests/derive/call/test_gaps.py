"""What is said of audio that did not come, came late, or came twice: nothing vanishes without a trace."""

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
from mmplatform.memo import MemoryMemo
from tests.builders import NOW, call_end, chunk
from tests.derive.call.test_fold import CHUNK_S, LENGTH_S, RATE, SPEECH, World, gaps, spoken, tone_like_speech, wav
from tests.derive.call.test_trouble import near
from tests.derive.call.test_trouble import wav as wav_of

LAST = call_end(ingested_at=NOW + timedelta(hours=1), event_time=NOW + timedelta(hours=1))


def at(event, index, *, ingested_s=None, **change):
    """The audio of an event at another place of the call."""
    moment = NOW + timedelta(seconds=index + 1)
    came = moment if ingested_s is None else NOW + timedelta(seconds=ingested_s)
    fields = {"event_id": f"call-1:{index}", "chunk_index": index, "start_s": index * CHUNK_S}
    return event.model_copy(update=fields | {"event_time": moment, "ingested_at": came} | change)


def silent(world, index, **change):
    return at(world.events[11], index, **change)


def reasons_of(aside) -> list[tuple[str, str, str]]:
    return [(row.event_id, row.contract, row.reasons[0]) for row in aside]


def test_what_an_offline_phone_sends_late_is_heard_however_much_was_missing():
    world = World()
    online = [silent(world, 300 + n) for n in range(LENGTH_S)]
    late = [at(event, n, ingested_s=400 + n) for n, event in enumerate(world.events)]
    artifacts, aside, state = world.fold([*online, *late, LAST])
    assert aside == []
    assert gaps(artifacts) == [(12.0, 300.0)]
    assert [(gap.first, gap.last) for gap in state.gaps] == [(12, 299)]
    assert near(spoken(artifacts))  # whole, though each chunk of it came late
    assert world.asr.calls == len(SPEECH)


def test_what_came_late_is_found_before_the_call_ends_when_nothing_continues_it():
    world = World()
    late = [at(event, n, ingested_s=60 + n) for n, event in enumerate(world.events[:5])]
    live = [silent(world, 100 + n, ingested_s=50 + 3 * n) for n in range(8)]
    artifacts, _, state = world.fold([*live[:4], *late, *live[4:]])
    assert state.late is None
    assert len(spoken(artifacts)) == 2
    assert gaps(artifacts) == [(5.0, 100.0)]


def test_a_hole_of_three_hundred_chunks_is_marked_from_its_first_second_to_its_last():
    world = World()
    artifacts, _, _ = world.fold([*world.events, *(silent(world, 312 + n) for n in range(5)), LAST])
    assert gaps(artifacts) == [(12.0, 312.0)]


def test_the_same_audio_again_is_a_duplicate_wherever_in_the_call_it_lay():
    world = World()
    many = [silent(world, n, blob=world.events[n % 12].blob) for n in range(2 * PAGE_CHUNKS + 20)]
    artifacts, _, _ = world.fold([*many, LAST])
    again, aside, _ = world.fold([*many, *many[::7], LAST], restart=True)
    assert spoken(again) == spoken(artifacts)
    assert (gaps(again), aside) == ([], [])


def test_other_audio_under_a_number_that_was_taken_is_set_aside_with_the_reason():
    world = World()
    other = [at(world.events[9], n, event_id=f"again:{n}") for n in (0, 5)]
    artifacts, aside, _ = world.fold([*world.events, *other, LAST])
    assert reasons_of(aside) == [(f"again:{n}", "raw_calls", f"chunk {n} came before with other audio") for n in (0, 5)]
    assert len(spoken(artifacts)) == len(SPEECH)


def test_a_call_id_that_is_used_for_another_call_loses_nothing_in_silence():
    world = World()
    second = [
        at(world.events[(n + 5) % LENGTH_S], n, event_id=f"second:{n}", ingested_s=100 + n) for n in range(LENGTH_S)
    ]
    _, aside, _ = world.fold([*world.events, call_end(chunks=LENGTH_S), *second, call_end(chunks=LENGTH_S)])
    assert [row.event_id for row in aside] == [f"second:{n}" for n in range(LENGTH_S)]


def test_while_a_chunk_waits_its_repetition_is_a_duplicate_and_other_audio_is_set_aside():
    world = World()
    events = [world.events[0], world.events[2], world.events[2], at(world.events[0], 2, event_id="other")]
    _, aside, state = world.fold(events)
    assert [row.event_id for row in aside] == ["other"]
    assert [each.event_id for each in state.waiting] == ["call-1:2"]


def test_when_the_memo_was_lost_a_repetition_of_long_ago_is_said_to_be_unknown():
    world = World()
    many = [silent(world, n) for n in range(2 * PAGE_CHUNKS + 20)]
    _, aside, state = world.fold(many)
    assert aside == []
    world.memo = MemoryMemo()
    _, aside, _ = fold_on(world, state, [many[3], many[-3]])
    assert reasons_of(aside) == [("call-1:3", "raw_calls", "whether chunk 3 came before is not known any more")]


def fold_on(world, state, events):
    deriver, found, aside = world.deriver(), [], []
    for offset, event in enumerate(events):
        state, derived = deriver.advance(
            state, Arrival(event, Position(topic="t", topic_partition=0, offset=1000 + offset))
        )
        found += derived.artifacts
        aside += derived.quarantined
    return found, aside, state


def test_of_a_source_with_endless_holes_the_last_ones_are_remembered_and_what_comes_for_others_is_set_aside():
    world = World()
    odd = [silent(world, 2 * n + 1, ingested_s=10 * n) for n in range(MAX_GAPS + 30)]
    artifacts, aside, state = world.fold(odd)
    assert len(state.gaps) == MAX_GAPS
    assert len(gaps(artifacts)) >= MAX_GAPS + 20
    found, aside, after = fold_on(world, state, [silent(world, 2), silent(world, state.gaps[5].first)])
    assert reasons_of(aside) == [("call-1:2", "raw_calls", "whether chunk 2 came before is not known any more")]
    assert len(after.gaps) == MAX_GAPS - 1
    assert [type(each) for each in found] == [Retraction]


def test_a_chunk_that_could_not_be_read_is_read_when_it_is_sent_again_whole():
    world = World()
    broken = world.blobs.put(b"RIFF", media_type="audio/wav")
    events = list(world.events)
    events[7] = events[7].model_copy(update={"blob": broken, "event_id": "broken"})
    artifacts, aside, _ = world.fold([*events, events[7], LAST])
    assert {row.event_id for row in aside} == {"broken"}
    assert gaps(artifacts) == [(7.0, 8.0)]
    artifacts, aside, _ = world.fold([*events, world.events[7], LAST])
    assert gaps(artifacts) == []
    assert any(6.9 < start < 7.1 for _, start, _, _ in spoken(artifacts))


def test_a_late_chunk_that_does_not_fit_where_it_was_missed_is_set_aside_and_the_mark_stays():
    world = World()
    events = [event for event in world.events if event.chunk_index != 7]
    artifacts, aside, _ = world.fold([*events, at(world.events[7], 7, start_s=2.0), LAST])
    assert [(row.event_id, row.contract) for row in aside] == [("call-1:7", "call_timeline")]
    assert gaps(artifacts) == [(7.0, 8.0)]


def test_a_hole_in_time_is_marked_though_no_number_is_missing():
    world = World()
    later = [event.model_copy(update={"start_s": event.start_s + 30}) for event in world.events[6:]]
    artifacts, aside, state = world.fold([*world.events[:6], *later, LAST])
    assert gaps(artifacts) == [(6.0, 36.0)]
    assert (aside, state.gaps) == ([], ())


def test_a_call_that_begins_late_by_its_own_clock_has_its_beginning_marked():
    world = World()
    artifacts, _, _ = world.fold([event.model_copy(update={"start_s": event.start_s + 30}) for event in world.events])
    assert gaps(artifacts) == [(0.0, 30.0)]


def test_a_late_chunk_shorter_than_its_place_leaves_the_rest_marked():
    world = World()
    size = round(0.5 * RATE)
    short = world.blobs.put(wav(tone_like_speech()[3 * RATE : 3 * RATE + size]), media_type="audio/wav")
    events = [event for event in world.events if event.chunk_index != 3]
    late = chunk(3, start_s=3.0, duration_s=0.5, blob=short, event_time=NOW, ingested_at=NOW + timedelta(seconds=50))
    artifacts, _, state = world.fold([*events, late, LAST])
    assert gaps(artifacts) == [(3.5, 4.0)]
    assert state.gaps == ()


def test_a_late_chunk_with_another_channel_asks_for_no_audio_of_long_ago():
    world = World()
    voice = tone_like_speech()[3 * RATE : 4 * RATE]
    both = world.blobs.put(wav_of(np.stack([voice, np.roll(voice, RATE // 3)]), RATE), media_type="audio/wav")
    events = [event for event in world.events if event.chunk_index != 3]
    _, _, state = world.fold([*events, at(world.events[3], 3, ingested_s=50, blob=both, channels=2)])
    assert len(state.channels) == 2
    assert min(channel.keep_s for channel in state.channels) >= state.run[0].start_s


def test_when_no_chunk_came_of_those_that_the_end_counts_that_is_said():
    world = World()
    artifacts, aside, state = world.fold([call_end(chunks=5)])
    assert gaps(artifacts) == [(0.0, 0.0)]
    assert (aside, state.tail.chunks) == ([], 5)


def test_of_what_the_end_overtook_only_what_never_came_stays_marked():
    world = World()
    idle = call_end(event_id="idle", reason="idle", ingested_at=NOW + timedelta(seconds=60))
    events = [event for event in world.events[:-2] if event.chunk_index != 7]
    artifacts, aside, _ = world.fold([call_end(chunks=LENGTH_S), *events, idle])
    assert gaps(artifacts) == [(7.0, 8.0), (10.0, 12.0)]
    assert aside == []


def test_of_a_call_that_is_complete_next_to_nothing_is_kept():
    world = World()
    many = [silent(world, LENGTH_S + n) for n in range(2 * PAGE_CHUNKS)]
    deriver_events = [*world.events, *many, call_end(chunks=LENGTH_S + 2 * PAGE_CHUNKS)]
    _, _, state = world.fold(deriver_events)
    assert state.complete
    assert len(state.model_dump_json()) < 500
    found, aside, after = fold_on(world, state, [*world.events, *many[::5], deriver_events[-1]])
    assert (found, aside, after) == ([], [], state)
    _, aside, _ = fold_on(world, state, [silent(world, 3, event_id="other")])
    assert [row.event_id for row in aside] == ["other"]


@pytest.mark.parametrize("chunks", [None, LENGTH_S + 1])
def test_of_a_call_that_may_go_on_what_was_said_last_is_kept(chunks):
    world = World()
    _, _, state = world.fold([*world.events, call_end(chunks=chunks)])
    assert not state.complete
    assert state.channels[0].recent


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_second_of_a_call_was_heard_or_is_marked_and_never_both(data):
    """Whatever is lost, late, doubled or out of order, with a new worker for each event or with one for all."""
    world = World()
    lost = data.draw(st.sets(st.integers(0, LENGTH_S - 1), max_size=6))
    late = data.draw(st.sets(st.integers(0, LENGTH_S - 1), max_size=4)) - lost
    there = [event for event in world.events if event.chunk_index not in lost | late]
    for place in data.draw(st.lists(st.integers(0, LENGTH_S - 2), max_size=6)):
        if place + 1 < len(there):
            there[place], there[place + 1] = there[place + 1], there[place]
    again = [world.events[n] for n in sorted(late)]
    events = [*there, *data.draw(st.permutations(again)), *there[::3]]
    end = call_end(chunks=LENGTH_S, ingested_at=NOW + timedelta(hours=1))
    events.insert(data.draw(st.integers(0, len(events))), end)
    idle = call_end(event_id="idle", reason="idle", ingested_at=NOW + timedelta(hours=2))
    artifacts, aside, state = world.fold([*events, idle])
    assert aside == []
    after_restarts, _, _ = world.fold([*events, idle], restart=True)
    assert after_restarts.keys() == artifacts.keys()
    assert spoken(after_restarts) == spoken(artifacts)
    marked = [(a.start_s, a.end_s) for a in artifacts.values() if isinstance(a, Utterance) and a.status == "gap"]
    for second in range(LENGTH_S):
        middle = second + 0.5
        assert any(start < middle < end for start, end in marked) == (second in lost), second
    assert state.complete == (not lost)
    assert CallState.model_validate_json(state.model_dump_json()) == state
