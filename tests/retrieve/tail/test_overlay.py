"""Index and tail as one ranking: in whatever order records arrive, land and leave, a search finds what is newest."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mmplatform.errors import Unavailable
from mmplatform.retrieve.search.overlay import Query
from mmplatform.retrieve.tail.tail import Scope
from tests.land.records import EMBEDDER, NOON, passage, unit_vector
from tests.retrieve.tail.model import World, retracted, version_of

QUESTION = "why does the payment fail"
IDS = st.integers(0, 5)


def found(world, text=QUESTION, **filters):
    return [(each.hit.passage_id, each.hit.text) for each in world.search(text, **filters)]


class Overlaid(RuleBasedStateMachine):
    """Derivers publish in the order of events, zombies behind them, runs out of order; the index lands in batches."""

    def __init__(self):
        super().__init__()
        self.world = World()
        self.events = 0
        self.follows = True

    def publish(self, record):
        self.world.publish(record, follow=self.follows)

    @rule(follows=st.booleans())
    def cut_off(self, follows):
        """The gateway no longer reads the log, or reads it again; the index goes on."""
        self.follows = follows
        if follows:
            self.world.follow()

    @rule(number=IDS)
    def derive(self, number):
        self.events += 1
        self.publish(version_of(number, self.events))

    @rule(number=IDS)
    def retract(self, number):
        self.events += 1
        self.publish(retracted(number, self.events))

    @rule(number=IDS, offset=st.integers(0, 30))
    def publish_late(self, number, offset):
        self.publish(version_of(number, min(offset, self.events)))

    @rule(number=IDS, offset=st.integers(0, 30))
    def retract_late(self, number, offset):
        self.publish(retracted(number, min(offset, self.events)))

    @rule(number=IDS, offset=st.integers(0, 30), derivation=st.integers(1, 3))
    def derive_again(self, number, offset, derivation):
        self.publish(version_of(number, min(offset, self.events), derivation=derivation))

    @rule(records=st.integers(1, 4))
    def land(self, records):
        self.world.land(records)

    @rule()
    def evict(self):
        if self.follows:
            self.world.evict()

    @rule()
    def restart(self):
        self.world.restart()

    @invariant()
    def a_search_finds_what_is_newest(self):
        for k in (1, 3, 100):
            assert found(self.world, k=k) == self.world.expected(QUESTION, k=k)


Overlaid.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestOverlaid = Overlaid.TestCase


def test_a_passage_is_found_before_the_index_has_it_and_says_so():
    world = World()
    world.publish(version_of(1, 1))
    (fresh,) = world.search(QUESTION)
    assert (fresh.in_tail, fresh.retrievable_at) == (True, NOON)
    world.land(1)
    world.evict()
    (indexed,) = world.search(QUESTION)
    assert (indexed.in_tail, indexed.retrievable_at, len(world.tail)) == (False, NOON, 0)


def test_a_row_that_the_tail_hides_gives_its_place_to_the_next():
    world = World()
    for number in range(6):
        world.publish(version_of(number, number))
    world.land(6)
    world.evict()
    first = found(world, k=3)
    for number in range(6):
        if version_of(number, number).artifact_id in {row_id for row_id, _ in first[:2]}:
            world.publish(retracted(number, 10 + number))
    assert found(world, k=3) == world.expected(QUESTION, k=3)
    assert len(found(world, k=3)) == 3


def test_what_leaves_the_tail_between_its_snapshot_and_the_index_is_not_missed(monkeypatch):
    """The index answers before it lands the passage, and the tail is told of the commit in between."""
    world = World()
    world.publish(version_of(1, 1))
    search = world.index.search

    def search_then_commit(*args, **kwargs):
        rows = search(*args, **kwargs)
        world.land(1)
        world.evict()
        return rows

    monkeypatch.setattr(world.index, "search", search_then_commit)
    assert found(world) == world.expected(QUESTION)
    assert found(world) == world.expected(QUESTION)


def test_filters_hold_for_the_tail_as_for_the_index():
    world = World()
    for number, modality, subject in ((1, "chat", "ann"), (2, "call", "ann"), (3, "chat", "zoe")):
        world.publish(passage(number, modality=modality, subject=subject, at=NOON + timedelta(minutes=number)))
    world.publish(passage(4, tenant="acme"))

    def texts(**filters):
        return sorted(each.hit.text for each in world.search(QUESTION, **filters))

    for _ in range(2):
        assert texts() == ["passage number 1", "passage number 2", "passage number 3"]
        assert texts(subject="default/ann") == ["passage number 1", "passage number 2"]
        assert texts(modalities=("call",)) == ["passage number 2"]
        assert texts(since=NOON + timedelta(minutes=2)) == ["passage number 2", "passage number 3"]
        assert texts(until=NOON + timedelta(minutes=2)) == ["passage number 1"]
        world.land(4)
        world.evict()
        assert len(world.tail) == 0


def test_while_embedders_are_swapped_the_tail_is_embedded_by_the_serving_one_once():
    world = World()
    world.publish(passage(1, text="old vector", embedder="other@1"))
    for _ in range(2):
        (each,) = world.search("old vector")
        assert each.hit.score == pytest.approx(1.0, abs=1e-6)
    assert world.embedder.asked == ["old vector"]


def test_an_old_spaces_entry_still_hides_its_row():
    world = World()
    world.publish(version_of(1, 1))
    world.land(1)
    world.evict()
    world.publish(version_of(1, 2).model_copy(update={"embedder": "other@1"}))
    assert [text for _, text in found(world)] == [version_of(1, 2).text]


def test_without_the_index_the_tail_answers_with_what_it_is_sure_of():
    world = World()
    world.publish(version_of(1, 5))
    world.publish(version_of(2, 6))
    world.publish(version_of(3, 2))
    world.index.down = True
    query = Query(unit_vector(QUESTION), EMBEDDER, world.embedder.embed, 10)
    findings = world.overlay.search(query, Scope("default"), index_optional=True)
    assert not findings.index_answered
    assert [each.hit.text for each in findings.found] == [version_of(2, 6).text]
    with pytest.raises(Unavailable):
        world.overlay.search(query, Scope("default"))


def test_the_tails_memory_is_counted_and_given_back():
    world = World()
    assert world.tail.bytes == 0
    for number in range(6):
        world.publish(version_of(number, number))
        world.publish(version_of(number, number + 10))
    assert 6 * 2_000 < world.tail.bytes < 6 * 3_000
    world.land(12)
    world.evict()
    assert (world.tail.bytes, len(world.tail)) == (0, 0)


def test_a_vector_of_another_length_hides_nothing_else():
    world = World()
    world.publish(version_of(1, 1))
    world.publish(passage(2, vector=unit_vector("foreign", dimensions=4)))
    assert [text for _, text in found(world)] == [version_of(1, 1).text]
