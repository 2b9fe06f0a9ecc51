"""What comes between the steps of a swap, over a real Chroma: a retraction, an interruption, somebody who swaps too."""

from __future__ import annotations

import pytest

from mmplatform.land.spaces import Space, SpaceLog
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.in_step import InStep
from mmplatform.pipeline.swapping import Swapping
from tests.doubles.embedder import SeededEmbedder
from tests.land.making import EMBEDDER, NOON, passage

OLD, NEW = Space(model="minilm", name=EMBEDDER), Space(model="new", name="new@2")


class Model(SeededEmbedder):
    """Lets a test do something while it runs."""

    def __init__(self, space):
        super().__init__()
        self.name, self.version = space.name.split("@")
        self.meanwhile = lambda: None

    def embed(self, texts):
        if texts:
            self.meanwhile()
        return super().embed(texts)


class World:
    """An index, two models, a swap, and a writer that embeds for both."""

    def __init__(self, index):
        self.index = index
        self.models = {space.name: Model(space) for space in (OLD, NEW)}
        self.swapping = self.another_swapping()
        self.writer = self.another_writer()

    def log(self):
        return SpaceLog(self.index)

    def open_space(self, space):
        return self.models[space.name]

    def another_swapping(self):
        return Swapping(self.index, self.log(), OLD, self.open_space, MemoryMemo())

    def another_writer(self, open_space=None):
        return InStep(self.index, self.log(), open_space or self.open_space, MemoryMemo)

    def land(self, *numbers, by=None):
        (by or self.writer).upsert([passage(number) for number in numbers], NOON)

    def land_for_serving_only(self, *numbers):
        """By an indexer on a machine without the other one's model; its rows come with the serving one's vectors."""

        def no_model(space):
            raise RuntimeError(space.name)

        serving = self.log().read().serving.name
        rows = [passage(number, embedder=serving) for number in numbers]
        self.another_writer(no_model).upsert(rows, NOON)

    def ids(self, space):
        return sorted(self.index.ids(embedder=space.name))


@pytest.fixture
def world(index):
    made = World(index)
    made.swapping.state()
    return made


def ids(*numbers):
    return sorted(passage(number).artifact_id for number in numbers)


def test_what_is_taken_back_while_the_other_model_runs_stays_away(world):
    world.land(1)
    world.swapping.build(NEW, swap=False)
    indexer = world.another_writer()
    gone = passage(2)
    world.models[NEW.name].meanwhile = lambda: indexer.delete([gone.artifact_id], subject_id=gone.subject_id)
    world.land(2, 3)
    assert world.ids(OLD) == world.ids(NEW) == ids(1, 3)
    assert not world.log().read().lacking


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
    return InStep(index, world.log(), world.open_space, MemoryMemo)


def test_what_is_taken_back_right_before_the_other_space_is_written_stays_away(world):
    world.swapping.build(NEW, swap=False)
    indexer = world.another_writer()
    writer = between(world, lambda: indexer.delete(ids(1), subject_id="ann"), "upsert", NEW.name)
    world.land(1, 2, by=writer)
    assert world.ids(OLD) == world.ids(NEW) == ids(2)


def test_what_is_landed_anew_while_it_is_taken_out_of_the_other_space_is_said_to_be_lacking(world):
    world.swapping.build(NEW, swap=False)
    indexer = world.another_writer()
    writer = between(world, lambda: indexer.delete(ids(1), subject_id="ann"), "upsert", NEW.name)
    writer._index = Between(writer._index, lambda: world.land(1), "delete", NEW.name)
    world.land(1, by=writer)
    assert world.ids(OLD) == ids(1)
    assert world.log().read().lacking
    world.swapping.swap()
    assert world.ids(OLD) == world.ids(NEW) == ids(1)
