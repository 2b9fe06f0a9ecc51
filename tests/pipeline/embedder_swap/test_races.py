"""Races of a swap over a real Chroma: a retraction, an interruption, a second swap between its steps."""

from __future__ import annotations

import pytest

from mmplatform.buckets import BUCKET_NAMES, bucket_name
from mmplatform.errors import Rejected
from mmplatform.land.index.embedder_registry import EmbedderRegistry, Space
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.embedder_swap import swap
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
from mmplatform.pipeline.embedder_swap.swap import EmbedderSwap
from tests.consumers.lost_store import completed_by
from tests.doubles.embedder import SeededEmbedder
from tests.land.records import EMBEDDER, NOON, passage, retraction

OLD, NEW = Space(model="minilm", name=EMBEDDER), Space(model="new", name="new@2")


class Model(SeededEmbedder):
    """Lets a test do something while it runs."""

    def __init__(self, space):
        super().__init__()
        self.name, self.version = space.name.split("@")
        self.meanwhile = lambda: None

    def embed(self, texts):
        if not texts:
            return []
        self.meanwhile()
        return super().embed(texts)


class World:
    """An index, two models, a swap, and a writer that embeds for both."""

    def __init__(self, index):
        self.index = index
        self.models = {space.name: Model(space) for space in (OLD, NEW)}
        self.swapping = self.another_swapping()
        self.writer = self.another_writer()

    def registry(self):
        return EmbedderRegistry(self.index)

    def open_embedder(self, space):
        return self.models[space.name]

    def another_swapping(self):
        return EmbedderSwap(self.index, self.registry(), OLD, self.open_embedder, MemoryMemo())

    def another_writer(self, open_embedder=None):
        return DualWriteIndex(self.index, self.registry(), open_embedder or self.open_embedder, MemoryMemo)

    def land(self, *numbers, by=None):
        (by or self.writer).upsert([passage(number) for number in numbers], NOON)

    def land_for_serving_only(self, *numbers):
        """By an indexer on a machine without the other one's model; its rows come with the serving one's vectors."""

        def no_model(space):
            raise RuntimeError(space.name)

        serving = self.registry().latest().serving.name
        rows = [passage(number, embedder=serving) for number in numbers]
        self.another_writer(no_model).upsert(rows, NOON)

    def ids(self, space):
        return sorted(self.index.ids(embedder=space.name))


@pytest.fixture
def world(index):
    made = World(index)
    made.swapping.ensure_serving()
    return made


def ids(*numbers):
    return sorted(passage(number).artifact_id for number in numbers)


def test_a_passage_retracted_while_the_other_model_runs_stays_deleted(world):
    world.land(1)
    world.swapping.build(NEW, swap=False)
    indexer = world.another_writer()
    gone = passage(2)
    world.models[NEW.name].meanwhile = lambda: indexer.retract([retraction(gone)], NOON)
    world.land(2, 3)
    assert world.ids(OLD) == world.ids(NEW) == ids(1, 3)
    assert not world.registry().latest().lacking


class Between:
    """The index, with something done right before one call to it."""

    def __init__(self, index, doing, name, space):
        self._index, self._doing, self._name, self._space = index, doing, name, space

    def __getattr__(self, name):
        return getattr(self._index, name)

    def upsert(self, rows, at):
        self._do("upsert", {row.embedder for row in rows})
        self._index.upsert(rows, at)

    def delete(self, ids, **more):
        self._do("delete", {more.get("embedder")})
        self._index.delete(ids, **more)

    def _do(self, name, spaces):
        if name == self._name and self._space in spaces:
            doing, self._doing = self._doing, lambda: None
            doing()


def between(world, doing, name, space):
    index = Between(world.index, doing, name, space)
    return DualWriteIndex(index, world.registry(), world.open_embedder, MemoryMemo)


def test_a_passage_retracted_right_before_the_secondary_write_stays_deleted(world):
    world.swapping.build(NEW, swap=False)
    indexer = world.another_writer()
    writer = between(world, lambda: indexer.retract([retraction(passage(1))], NOON), "upsert", NEW.name)
    world.land(1, 2, by=writer)
    assert world.ids(OLD) == world.ids(NEW) == ids(2)


def test_a_passage_landed_again_while_it_is_deleted_from_the_secondary_is_flagged_as_lacking(world):
    world.swapping.build(NEW, swap=False)
    indexer = world.another_writer()
    again = completed_by(passage(1), 9)
    writer = between(world, lambda: indexer.retract([retraction(passage(1))], NOON), "upsert", NEW.name)
    writer._index = Between(writer._index, lambda: world.writer.upsert([again], NOON), "delete", NEW.name)
    world.land(1, by=writer)
    assert world.ids(OLD) == ids(1)
    assert world.registry().latest().lacking
    world.swapping.swap()
    assert world.ids(OLD) == world.ids(NEW) == ids(1)


def stop():
    raise KeyboardInterrupt


def test_a_rollback_that_was_interrupted_while_it_copied_copies_all_of_it_the_next_time(world):
    world.land(1, 2)
    world.swapping.build(NEW)
    world.land_for_serving_only(3, 4)
    assert world.registry().latest().lacking
    world.models[OLD.name].meanwhile = stop
    with pytest.raises(KeyboardInterrupt):
        world.swapping.roll_back()
    assert world.registry().latest().serving == NEW
    assert world.ids(OLD) == ids(1, 2)
    world.models[OLD.name].meanwhile = lambda: None
    after = world.another_swapping().roll_back()
    assert (after.serving, after.copying, after.lacking) == (OLD, False, False)
    assert world.ids(OLD) == world.ids(NEW) == ids(1, 2, 3, 4)


def test_an_indexer_that_cannot_keep_up_while_a_rollback_copies_does_not_end_the_copy(world):
    world.land(1)
    world.swapping.build(NEW)
    world.land_for_serving_only(2)

    def lack_and_stop():
        world.land_for_serving_only(3)
        stop()

    world.models[OLD.name].meanwhile = lack_and_stop
    with pytest.raises(KeyboardInterrupt):
        world.swapping.roll_back()
    state = world.registry().latest()
    assert (state.lacking, state.copying) == (True, True)
    world.models[OLD.name].meanwhile = lambda: None
    world.swapping.roll_back()
    assert world.ids(OLD) == world.ids(NEW) == ids(1, 2, 3)


def test_a_candidate_that_was_cancelled_and_started_again_during_a_build_is_compared_before_it_serves(world):
    world.land(1, 2, 3)
    steps = world.swapping.build_steps(NEW)
    for _ in range(len(BUCKET_NAMES)):
        next(steps)  # all are equal now
    other = world.another_swapping()
    other.retire(candidate=True, grace_s=0)
    begun = other.build_steps(NEW)
    assert next(begun)[0] == BUCKET_NAMES[0] != bucket_name("ann"), "nothing is copied yet"
    assert world.ids(NEW) == []
    with pytest.raises(StopIteration):
        next(steps)
    assert world.registry().latest().serving == NEW
    assert world.ids(NEW) == ids(1, 2, 3)
    with pytest.raises(Rejected, match="another process swapped"):
        next(begun)


def test_a_build_within_the_grace_of_a_retire_is_refused_and_possible_after_it(world, monkeypatch):
    world.land(1, 2)
    world.swapping.build(NEW)
    world.swapping.roll_back()
    graces = []

    def build_meanwhile(seconds):
        graces.append(seconds)
        with pytest.raises(Rejected, match="is being deleted"):
            world.another_swapping().build(NEW)

    monkeypatch.setattr(swap.time, "sleep", build_meanwhile)
    assert world.swapping.retire() == [NEW.name]
    assert graces == [swap.RETIRE_GRACE_S]
    state = world.registry().latest()
    assert (state.active, state.retiring) == ((OLD,), ())
    assert world.index.embedders() == {OLD.name}
    world.swapping.build(NEW)
    assert world.ids(OLD) == world.ids(NEW) == ids(1, 2)


def test_a_space_that_serves_when_the_grace_ends_is_not_deleted(world, monkeypatch):
    """An earlier release takes no notice of what is retiring, and it may build and swap in the grace."""
    world.land(1, 2)
    world.swapping.build(NEW)
    world.swapping.roll_back()

    def swapped_meanwhile(_):
        log = world.registry()
        log.change_spaces(log.change_spaces(log.latest(), serving=OLD, candidate=NEW), serving=NEW, previous=OLD)

    monkeypatch.setattr(swap.time, "sleep", swapped_meanwhile)
    assert world.swapping.retire() == []
    assert world.registry().latest().serving == NEW
    assert world.ids(NEW) == ids(1, 2)


def test_a_retire_that_died_half_way_is_finished_by_the_next_one(world, monkeypatch):
    world.land(1)
    world.swapping.build(NEW)

    with monkeypatch.context() as patched:
        patched.setattr(swap.time, "sleep", lambda _: stop())
        with pytest.raises(KeyboardInterrupt):
            world.swapping.retire()
    with pytest.raises(Rejected, match="embedder retire` ends it"):
        world.swapping.build(OLD)
    assert world.swapping.retire(grace_s=0) == [OLD.name]
    with pytest.raises(Rejected, match="to retire"):
        world.swapping.retire(grace_s=0)
    world.swapping.build(OLD)
    assert world.ids(OLD) == world.ids(NEW) == ids(1)


def test_a_retire_of_an_unused_space_leaves_a_build_of_another_alone(world):
    world.land(1)
    third = Space(model="third", name="third@3")
    world.index.upsert([passage(9, embedder=third.name)], NOON)
    world.swapping.build(NEW, swap=False)
    assert world.swapping.retire(grace_s=0) == [third.name]
    assert world.registry().latest().candidate == NEW
    assert world.swapping.swap().serving == NEW
