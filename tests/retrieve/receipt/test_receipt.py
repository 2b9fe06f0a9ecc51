"""Receipts over a progress and pending events: each number is certain, or null."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mmplatform.identity import CANARY_TENANT, subject_key
from mmplatform.modalities import CALL, CHAT, SCREENSHOT
from mmplatform.progress import EventSource, OpenCall, Progress
from mmplatform.retrieve.receipt.derivation_progress import DerivationProgress
from mmplatform.retrieve.receipt.pending_events import LoggedEvent, PendingEvents
from mmplatform.retrieve.receipt.receipt import ReceiptBook

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN = subject_key("default", "ann")
PARTITIONS = 2


def at(seconds):
    return NOON + timedelta(seconds=seconds)


class World:
    """A book over two topic partitions of each modality; the pseudonym of a subject is its key."""

    def __init__(self):
        self.progress, self.pending, self.now = DerivationProgress(), PendingEvents(), 100.0
        self.book = ReceiptBook(self.progress, self.pending, lambda: {0: 5}, lambda key: key, lambda: self.now)
        for spec in (CHAT, CALL, SCREENSHOT):
            for number in range(PARTITIONS):
                self.pending.begin(EventSource(spec.topic, number), (0, 0))
                self.pending.reach_end(EventSource(spec.topic, number))
                self.report(spec, number, until=10)

    def report(self, spec, number, *, until, next_offset=0, **fields):
        record = Progress(
            topic=spec.topic,
            topic_partition=number,
            next_offset=next_offset,
            complete_until=at(until),
            outputs={0: 5},
            source_partitions=fields.pop("source_partitions", PARTITIONS),
            **fields,
        )
        self.progress.observe(record, self.now)

    def log(self, spec, number, offset, seconds, subject=ANN):
        self.pending.add(EventSource(spec.topic, number), LoggedEvent((0, offset), subject, at(seconds)))

    def receipt(self, modality, subject=ANN):
        return next(each for each in self.book.receipt(subject).modalities if each.modality == modality)


@pytest.fixture
def world():
    return World()


def test_a_modality_is_complete_until_the_earliest_of_its_topic_partitions(world):
    world.report(CHAT, 0, until=30)
    assert world.receipt("chat").complete_until == at(10)
    world.report(CHAT, 1, until=20)
    assert world.receipt("chat").complete_until == at(20)
    assert world.receipt("call").complete_until == at(10)


def test_nothing_is_claimed_while_a_topic_partition_has_not_reported():
    world = World()
    world.pending.begin(EventSource(CHAT.topic, 2), (0, 0))
    assert world.receipt("chat").complete_until is None
    assert world.receipt("call").complete_until == at(10)


def test_nothing_is_claimed_while_a_deriver_knows_more_topic_partitions_than_are_followed(world):
    world.report(CHAT, 0, until=30, source_partitions=4)
    assert world.receipt("chat").complete_until is None
    world.report(CALL, 0, until=30, source_partitions=4)
    assert world.book.receipt(ANN).subject.open_calls is None


def test_pending_events_are_those_behind_the_progress(world):
    world.log(CHAT, 0, 0, 11)
    world.log(CHAT, 0, 1, 12, subject="default/bob")
    receipt = world.book.receipt(ANN)
    assert (receipt.subject.pending, receipt.subject.oldest_pending_at) == (1, at(11))
    assert (world.receipt("chat").pending, world.receipt("chat").oldest_pending_at) == (2, at(11))
    world.report(CHAT, 0, until=12, next_offset=1)
    assert world.book.receipt(ANN).subject.pending == 0
    assert world.receipt("chat").pending == 1


def test_open_calls_are_told_to_their_subjects_and_counted_for_all(world):
    call = OpenCall(conversation_key="default//c%2F1", subjects=(ANN,), since=at(3))
    world.report(CALL, 0, until=20, open_calls=(call,), open_call_count=1)
    receipt = world.book.receipt(ANN)
    assert [(each.conversation_id, each.since) for each in receipt.subject.open_calls] == [("c/1", at(3))]
    assert (world.receipt("call").open_calls, world.receipt("call").open_since) == (1, at(3))
    assert world.book.receipt(subject_key("default", "bob")).subject.open_calls == ()


def test_with_more_open_calls_than_are_named_a_subject_gets_null(world):
    world.report(CALL, 0, until=20, open_call_count=3)
    assert world.book.receipt(ANN).subject.open_calls is None
    assert world.receipt("call").open_calls == 3


def test_a_deriver_that_is_silent_for_ten_seconds_is_stalled(world):
    world.now += 10.5
    assert world.receipt("chat").stalled
    world.report(CHAT, 1, until=20)
    assert not world.receipt("chat").stalled
    assert world.receipt("call").stalled


def test_a_receipt_without_the_index_claims_no_time(world):
    assert all(each.complete_until is None for each in world.book.receipt(ANN).without_claims().modalities)


def test_only_the_modalities_of_the_question_are_in_its_receipt(world):
    world.log(CALL, 0, 0, 11)
    receipt = world.book.receipt(ANN, ("chat",))
    assert [each.modality for each in receipt.modalities] == ["chat"]
    assert (receipt.subject.pending, receipt.subject.open_calls) == (0, ())
    assert world.book.receipt(None).subject is None


def test_a_call_of_a_canary_is_in_no_total(world):
    calls = (
        OpenCall(conversation_key=f"{CANARY_TENANT}/canary/c", subjects=("x",), since=at(1)),
        OpenCall(conversation_key="default//c", subjects=(ANN,), since=at(3)),
    )
    world.report(CALL, 0, until=20, open_calls=calls, open_call_count=2)
    assert (world.receipt("call").open_calls, world.receipt("call").open_since) == (1, at(3))
