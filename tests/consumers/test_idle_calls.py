from __future__ import annotations

from datetime import timedelta

from mmplatform.consumers.idle_calls import IdleCalls
from tests.builders import NOW, call_end, chat, chunk


def test_a_call_that_falls_silent_is_ended_once():
    calls = IdleCalls(idle_s=8.0)
    calls.observe(chunk(0), 0)
    assert calls.pop_due(NOW + timedelta(seconds=9.9), {0}) == []
    [end] = calls.pop_due(NOW + timedelta(seconds=10), {0})
    assert (end.conversation_id, end.reason, end.event_id) == ("call-1", "idle", end.event_id)
    assert calls.pop_due(NOW + timedelta(seconds=60), {0}) == []


def test_a_live_call_in_long_chunks_is_not_silent_while_the_next_one_is_being_recorded():
    calls = IdleCalls(idle_s=8.0)
    for index in range(3):
        came = NOW + timedelta(seconds=30 * (index + 1))
        calls.observe(chunk(index, start_s=30.0 * index, duration_s=30.0, event_time=came, ingested_at=came), 0)
        assert calls.pop_due(came + timedelta(seconds=37.9), {0}) == []
    assert len(calls.pop_due(came + timedelta(seconds=38), {0})) == 1


def test_a_call_that_goes_on_is_not_ended():
    calls = IdleCalls(idle_s=8.0)
    calls.observe(chunk(0), 0)
    calls.observe(chunk(5), 0)
    assert calls.pop_due(NOW + timedelta(seconds=10), {0}) == []


def test_a_call_that_ended_is_not_ended_again():
    calls = IdleCalls(idle_s=8.0)
    calls.observe(chunk(0), 0)
    calls.observe(call_end(), 0)
    assert calls.pop_due(NOW + timedelta(hours=1), {0}) == []


def test_a_call_that_falls_silent_twice_is_ended_twice():
    calls = IdleCalls(idle_s=8.0)
    calls.observe(chunk(0), 0)
    first = calls.pop_due(NOW + timedelta(seconds=20), {0})
    calls.observe(chunk(30), 0)
    second = calls.pop_due(NOW + timedelta(seconds=60), {0})
    assert len({end.event_id for end in first + second}) == 2


def test_two_watches_say_the_same():
    ends = []
    for _ in range(2):
        calls = IdleCalls(idle_s=8.0)
        calls.observe(chunk(0), 0)
        ends += calls.pop_due(NOW + timedelta(seconds=20), {0})
    assert ends[0].event_id == ends[1].event_id


def test_other_events_are_no_calls():
    calls = IdleCalls(idle_s=8.0)
    calls.observe(chat(), 0)
    assert calls.pop_due(NOW + timedelta(hours=1), {0}) == []


def test_while_the_past_is_read_nobody_is_silent():
    calls = IdleCalls(idle_s=8.0)
    calls.observe(chunk(0), 0)
    assert calls.pop_due(NOW + timedelta(hours=1), {1}) == []
    assert len(calls.pop_due(NOW + timedelta(hours=1), {0, 1})) == 1


def test_the_longest_event_id_can_fall_silent():
    calls = IdleCalls(idle_s=8.0)
    calls.observe(chunk(0, event_id="x" * 200), 0)
    assert len(calls.pop_due(NOW + timedelta(hours=1), {0})) == 1
