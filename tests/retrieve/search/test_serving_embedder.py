"""Which embedder a question is embedded by, while another one takes its place."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.events import utc_now
from mmplatform.land.index.embedder_registry import EmbedderRevision, Space
from mmplatform.retrieve.search.search import Searcher, SearchQuery
from mmplatform.retrieve.search.serving_embedder import REFRESH_INTERVAL_S, RELOAD_DELAY_S, ServingEmbedder
from tests.doubles.embedder import SeededEmbedder
from tests.doubles.memory_index import MemoryIndex
from tests.land.records import NOON, passage
from tests.retrieve.tail.model import overlay_of
from tests.waiting import eventually

OLD, NEW = Space(model="minilm", name="minilm@1"), Space(model="new", name="new@2")


class World:
    """Revisions, models and a clock that a test sets."""

    def __init__(self):
        self.now, self.spaces, self.failure, self.reads = 0.0, None, None, 0
        self.loaded: list[str] = []
        self.missing: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.serving = ServingEmbedder(self.read, self.open, OLD, clock=lambda: self.now)

    def read(self):
        self.reads += 1
        if self.failure:
            raise self.failure
        return self.spaces

    def open(self, space):
        assert self.gate.wait(20)
        if space.model in self.missing:
            raise Misconfigured(f"no model {space.model}")
        self.loaded.append(space.model)
        made = SeededEmbedder()
        made.name, made.version = space.name.split("@")
        return made

    def write(self, serving, secondary=None):
        revision = self.spaces.revision + 1 if self.spaces else 1
        self.spaces = EmbedderRevision(
            revision=revision, serving=serving, previous=secondary, changed_at=utc_now(), nonce="n"
        )

    def later(self, seconds=REFRESH_INTERVAL_S):
        self.now += seconds
        return self.serving().name


@pytest.fixture
def world():
    return World()


def test_without_a_revision_the_settings_embedder_serves(world):
    world.serving.warm_up()
    assert (world.serving().name, world.loaded) == ("minilm", ["minilm"])


def test_who_serves_is_asked_for_every_two_seconds_and_not_for_every_question(world):
    world.serving.warm_up()
    for _ in range(10):
        world.serving()
    before = world.reads
    world.serving()
    assert world.reads == before
    world.later()
    assert world.reads == before + 1


def test_the_one_before_answers_until_the_new_one_is_loaded(world):
    world.write(OLD)
    world.serving.warm_up()
    world.gate.clear()
    world.write(NEW, secondary=OLD)
    assert world.later() == "minilm"
    assert world.later() == "minilm"
    world.gate.set()
    eventually(lambda: world.later() == "new", within_s=20)
    assert world.loaded == ["minilm", "new"], "once"
    world.write(OLD, secondary=NEW)
    eventually(lambda: world.later() == "minilm", within_s=20)


def test_a_model_that_is_not_there_leaves_the_one_before_answering_and_is_tried_again(world):
    world.write(OLD)
    world.serving.warm_up()
    world.missing.add("new")
    world.write(NEW, secondary=OLD)
    for _ in range(3):
        assert world.later() == "minilm"
    world.missing.clear()
    eventually(lambda: world.later(RELOAD_DELAY_S) == "new", within_s=20)


def test_a_damaged_model_is_left_alone_for_a_while_too_and_another_one_is_not(world):
    world.write(OLD)
    world.serving.warm_up()
    tried, plain = [], world.serving._open_space

    def damaged(space):
        tried.append(space.model)
        if space == NEW:
            raise RuntimeError("protobuf parsing failed")
        return plain(space)

    world.serving._open_space = damaged
    world.write(NEW, secondary=OLD)
    for _ in range(3):
        assert world.later() == "minilm"
        eventually(lambda: not world.serving._load_lock.locked(), within_s=20)
    assert tried == ["new"]
    world.now += RELOAD_DELAY_S
    assert world.later() == "minilm"
    eventually(lambda: tried == ["new", "new"], within_s=20)
    eventually(lambda: not world.serving._load_lock.locked(), within_s=20)
    third = Space(model="third", name="third@3")
    world.write(third, secondary=OLD)
    assert world.later() == "minilm"
    eventually(lambda: world.serving().name == "third", within_s=20)


def test_one_that_is_not_in_use_any_more_answers_nothing(world):
    world.write(OLD)
    world.serving.warm_up()
    world.missing.add("new")
    world.write(NEW)
    with pytest.raises(Misconfigured, match="no model new"):
        world.later()
    with pytest.raises(Misconfigured):
        world.serving()
    world.missing.clear()
    assert world.later() == "new"


def test_while_somebody_looks_the_others_answer(world):
    world.write(OLD)
    world.serving.warm_up()
    held, looking = threading.Event(), threading.Event()
    plain = world.serving._read

    def slow():
        looking.set()
        assert held.wait(20)
        return plain()

    world.serving._read = slow
    world.now += REFRESH_INTERVAL_S
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(world.serving)
        assert looking.wait(20)
        assert world.serving().name == "minilm"
        held.set()
        assert first.result(20).name == "minilm"


@pytest.mark.parametrize("failure", [Unavailable, Misconfigured])
def test_an_index_that_is_away_at_the_start_is_asked_at_the_first_question(world, failure):
    world.failure = failure("no such index")
    world.serving.warm_up()
    with pytest.raises(failure):
        world.serving()
    world.failure = None
    world.write(NEW)
    assert world.serving().name == "new", "never the settings' one where another serves"


def test_a_question_is_embedded_by_the_one_whose_collections_are_searched(world):
    index = MemoryIndex()
    index.upsert([passage(1, text="old"), passage(1, text="new", embedder=NEW.name)], NOON)
    searcher = Searcher(overlay_of(index), world.serving)
    world.write(OLD)
    assert [hit.text for hit in searcher.search(SearchQuery(query="x")).hits] == ["old"]
    world.write(NEW, secondary=OLD)
    world.later()
    eventually(lambda: world.later() == "new", within_s=20)
    assert [hit.text for hit in searcher.search(SearchQuery(query="x")).hits] == ["new"]
