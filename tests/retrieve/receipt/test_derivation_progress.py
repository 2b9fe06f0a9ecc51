"""A progress record counts once its outputs are read, and claims never more than that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mmplatform.progress import EventSource, OpenCall, Progress
from mmplatform.retrieve.receipt.derivation_progress import DerivationProgress

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCE = EventSource("interactions.chat", 0)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def record(next_offset, until=None, outputs=None, generation=0, **fields):
    return Progress(
        topic=SOURCE.topic,
        topic_partition=SOURCE.topic_partition,
        generation=generation,
        next_offset=next_offset,
        complete_until=None if until is None else at(until),
        outputs=outputs or {},
        **fields,
    )


def test_a_record_counts_when_the_reader_has_read_its_outputs():
    progress = DerivationProgress()
    progress.observe(record(3, 10, {0: 5, 1: 2}), 0.0)
    assert progress.derived({0: 5}) == {}
    assert progress.derived({0: 5, 1: 1}) == {}
    found = progress.derived({0: 5, 1: 2})[SOURCE]
    assert (found.order, found.complete_until) == ((0, 3), at(10))


def test_when_the_reader_goes_back_nothing_is_claimed_until_a_record_counts_again():
    progress = DerivationProgress()
    progress.observe(record(3, 10, {0: 5}), 0.0)
    assert SOURCE in progress.derived({0: 5})
    assert progress.derived({0: 4}) == {}
    progress.observe(record(3, 11, {0: 5}), 1.0)
    assert progress.derived({0: 4}) == {}
    assert progress.derived({0: 6})[SOURCE].complete_until == at(11)


def test_a_record_that_goes_back_takes_nothing_away():
    progress = DerivationProgress()
    progress.observe(record(7, 20), 0.0)
    progress.observe(record(3, 30), 1.0)  # of a deriver that was paused
    found = progress.derived({})[SOURCE]
    assert (found.order, found.complete_until) == ((0, 7), at(20))
    assert progress.heard_at() == {SOURCE: 1.0}


def test_a_later_generation_of_the_log_counts_more_whatever_its_offset():
    progress = DerivationProgress()
    progress.observe(record(700, 20), 0.0)
    progress.observe(record(1, 25, generation=1), 1.0)
    assert progress.derived({})[SOURCE].order == (1, 1)


def test_the_open_calls_are_those_of_the_newest_record_that_counts():
    call = OpenCall(conversation_key="default//c", subjects=("s",), since=NOON)
    progress = DerivationProgress()
    progress.observe(record(3, open_calls=(call,), open_call_count=1), 0.0)
    assert progress.derived({})[SOURCE].open_calls == (call,)
    progress.observe(record(3), 1.0)
    assert progress.derived({})[SOURCE].open_calls == ()


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100), st.integers(0, 30)), max_size=40),
    st.lists(st.integers(0, 30), min_size=1, max_size=10),
)
def test_it_claims_what_some_record_within_reach_says(records, positions):
    progress = DerivationProgress()
    sent = [record(next_offset, until, {0: end}) for next_offset, until, end in records]
    for number, each in enumerate(sent):
        progress.observe(each, float(number))
    for position in positions:
        found = progress.derived({0: position}).get(SOURCE)
        readable = [each for each in sent if each.outputs[0] <= position]
        if found is not None:
            assert found.order in {each.order for each in readable}
            assert found.complete_until in {each.complete_until for each in readable}


def test_of_very_many_records_that_wait_the_newest_still_count():
    progress = DerivationProgress()
    for number in range(1_000):
        progress.observe(record(number, number, {0: number}), 0.0)
    assert progress.derived({0: 999})[SOURCE].order == (0, 999)
