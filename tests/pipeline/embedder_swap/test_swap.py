"""A candidate embedder is built, swapped in and rolled back, over real stores and real models."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from mmplatform.artifacts import Retraction
from mmplatform.buckets import BUCKET_NAMES, bucket_name
from mmplatform.derive.chat import ChatDeriver
from mmplatform.errors import Conflict, Misconfigured, Rejected, Unavailable
from mmplatform.identity import subject_key
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.index.store import ChromaIndex
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
from mmplatform.pipeline.embedder_swap.swap import EmbedderSwap
from mmplatform.pipeline.factories import open_embedder, open_space_embedder, resolve_space
from mmplatform.pipeline.reprocess.inputs import ReprocessInputs
from mmplatform.pipeline.reprocess.reprocess import reprocess
from mmplatform.retrieve.search.search import Searcher, SearchQuery
from mmplatform.retrieve.search.serving_embedder import REFRESH_INTERVAL_S, ServingEmbedder
from mmplatform.settings import load
from mmplatform.versions import Version
from quality.contracts import ContractLimits
from tests.builders import NOW, chat
from tests.pipeline.stream import Stream
from tests.retrieve.tail.model import overlay_of
from tests.servers.chroma import running_chroma
from tests.servers.process import free_ports
from tests.waiting import eventually

pytestmark = pytest.mark.models
NEW = "minilm-fp32"
SUBJECTS = [f"cust-{n}" for n in range(4)]


@pytest.fixture(scope="module")
def exact():
    return open_embedder(load(embedding_model=NEW))


class Counting:
    """An embedder that counts the texts that it is paid for."""

    def __init__(self, inner):
        self.inner, self.paid = inner, 0
        self.name, self.version, self.dimensions = inner.name, inner.version, inner.dimensions

    def embed(self, texts):
        self.paid += len(texts)
        return self.inner.embed(texts)


class World:
    """A stream that lands, an index that is searched, and an embedder that is to be swapped in."""

    def __init__(self, settings, index, lakehouse, old, new, redactor):
        self.settings, self.index, self.lakehouse = settings, index, lakehouse
        self.old, self.new = resolve_space(settings), resolve_space(settings, NEW)
        self.models = {self.old.name: Counting(old), self.new.name: Counting(new)}
        self.redactor, self.memo, self.sent = redactor, MemoryMemo(), 0
        self.dual_write_index = DualWriteIndex(index, EmbedderRegistry(index), self.open_embedder, lambda: self.memo)
        self.stream = Stream(lakehouse, self.dual_write_index)
        self.swapping = EmbedderSwap(index, EmbedderRegistry(index), self.old, self.open_embedder, self.memo)
        self.clock = 0.0
        self.serving = ServingEmbedder(
            EmbedderRegistry(index).latest, self.open_embedder, self.old, clock=lambda: self.clock
        )
        self.searcher = Searcher(overlay_of(index), self.serving)

    def open_embedder(self, space):
        open_space_embedder(self.settings, space)  # the real one: raises where the model is not there
        return self.models[space.name]

    def send(self, count, subjects=SUBJECTS, *, embedder=None):
        """Chats, all the way into both stores."""
        deriver = ChatDeriver(self.models[(embedder or self.old).name], self.redactor, self.memo)
        events = []
        for _ in range(count):
            number, self.sent = self.sent, self.sent + 1
            subject = subjects[number % len(subjects)]
            events.append(
                chat(number, subject_id=subject, conversation_id=f"with-{subject}", text=f"order {number} is late")
            )
        return self.stream.send(events, deriver)

    def take_back(self, row):
        """The retraction of a passage, through both stores."""
        gone = Retraction(
            artifact_id=row["artifact_id"],
            modality="chat",
            conversation_id=row["conversation_id"],
            subject_id=row["subject_id"],
            stamps={name: row[name] for name in ("event_time", "ingested_at", "derived_at")},
            provenance={
                "event_ids": row["event_ids"],
                "position": {
                    "topic": "interactions.chat",
                    "topic_partition": 0,
                    "offset": Version.from_sortable(row["version"]).offset,
                },
                "deriver": "chat",
                "deriver_version": "1",
                "seconds": 0,
            },
            reason="test",
        )
        self.stream.archive(self.stream.records("artifacts", [gone.model_dump_json().encode()]))
        self.dual_write_index.retract([gone], NOW)

    def rows(self):
        return self.lakehouse.scan("passages").to_pylist()

    def table(self):
        return sorted(row["artifact_id"] for row in self.rows())

    def ids(self, space):
        return sorted(self.index.ids(embedder=space.name))

    def search(self, **more):
        hits = self.searcher.search(SearchQuery(query="where is my order", k=100, **more)).hits
        return sorted(hit.passage_id for hit in hits)

    def asked_in(self):
        """The space of what search answers now, seen after the next look."""
        self.clock += REFRESH_INTERVAL_S + 1
        embedder = self.serving()
        return f"{embedder.name}@{embedder.version}"

    def sees(self, space):
        eventually(lambda: self.asked_in() == space.name, within_s=30)
        return True


@pytest.fixture
def world(settings, index, lakehouse, embedder, exact, redactor):
    made = World(settings, index, lakehouse, embedder, exact, redactor)
    made.swapping.ensure_serving()
    return made


def in_sync(world):
    """Both spaces hold what the table holds, id for id and text for text."""
    table = world.table()
    assert world.ids(world.old) == world.ids(world.new) == table
    for bucket in sorted({bucket_name(subject_key("default", subject)) for subject in SUBJECTS}):
        each = [
            {key: (text, {**metadata, "embedder": ""}) for key, (text, metadata) in found.items()}
            for found in (world.index.get(space.name, bucket, table) for space in (world.old, world.new))
        ]
        assert each[0] == each[1]
    return True


def test_while_it_is_built_search_answers_from_the_old_one_alone_and_then_from_the_new_one(world):
    world.send(12)
    everything = world.table()
    seen = []

    def look(bucket, copied):
        assert world.asked_in() == world.old.name
        assert world.search() == everything
        seen.append((bucket, copied.passages))

    done = world.swapping.build(world.new, on_bucket=look)
    assert [bucket for bucket, _ in seen] == list(BUCKET_NAMES)
    assert (done.passages, done.written, done.embedded, done.removed) == (12, 12, 12, 0)
    state = world.swapping.ensure_serving()
    assert (state.serving, state.candidate, state.previous) == (world.new, None, world.old)
    assert world.sees(world.new), "without a restart"
    assert world.search() == everything
    assert in_sync(world)


def test_passages_that_the_stream_lands_and_retracts_meanwhile_are_in_both(world):
    world.send(12)

    def land(bucket, _):
        if bucket == "b08":
            buckets = {subject: bucket_name(subject_key("default", subject)) for subject in SUBJECTS}
            done_with, ahead = ([s for s in SUBJECTS if (buckets[s] <= "b08") is past] for past in (True, False))
            assert done_with
            assert ahead
            world.send(3, done_with)
            world.send(3, ahead)
            world.take_back(next(row for row in world.rows() if row["subject_id"] in done_with))
            world.take_back(next(row for row in world.rows() if row["subject_id"] in ahead))

    world.swapping.build(world.new, on_bucket=land)
    assert len(world.table()) == 16
    assert in_sync(world)
    world.send(4)
    world.send(4, embedder=world.new)  # a deriver that was restarted with the new setting
    world.take_back(world.rows()[0])
    assert len(world.table()) == 23
    assert in_sync(world)


def test_a_failure_half_way_leaves_the_old_one_serving_and_the_next_run_goes_on_and_pays_nothing_twice(world):
    world.send(12)

    def fail(bucket, _):
        if bucket == "b09":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.swapping.build(world.new, on_bucket=fail)
    paid, there = world.models[world.new.name].paid, len(world.ids(world.new))
    assert 0 < there < 12
    assert world.asked_in() == world.old.name
    assert world.search() == world.table()
    done = world.swapping.build(world.new)
    assert (done.written, done.embedded) == (12 - there, 12 - there)
    assert world.models[world.new.name].paid - paid == 12 - there
    # And where the index lost what was paid for, the memo knows it.
    world.swapping.roll_back()
    world.swapping.retire(grace_s=0)
    again = world.swapping.build(world.new)
    assert (again.written, again.embedded) == (12, 0)
    assert in_sync(world)


def test_an_unknown_model_or_one_that_serves_touches_nothing(world):
    before = world.swapping.ensure_serving()
    with pytest.raises(Misconfigured, match="no model 'nobody'"):
        resolve_space(world.settings, "nobody")
    with pytest.raises(Misconfigured, match="bring that version"):
        world.swapping.build(world.new.model_copy(update={"name": "minilm-fp32@000000000000"}))
    with pytest.raises(Rejected, match="serves already"):
        world.swapping.build(world.old)
    with pytest.raises(Rejected, match="no candidate"):
        world.swapping.swap()
    with pytest.raises(Rejected, match="nothing to roll back"):
        world.swapping.roll_back()
    with pytest.raises(Rejected, match="no previous embedder to retire"):
        world.swapping.retire(grace_s=0)
    assert world.swapping.ensure_serving() == before


def test_an_index_that_goes_away_half_way_serves_the_old_one_when_it_comes_back(world, tmp_path):
    port = free_ports(1)[0]
    settings = world.settings.model_copy(update={"chroma_url": f"http://127.0.0.1:{port}"})
    index = ChromaIndex.open(settings)
    models = [world.models[space.name].inner for space in (world.old, world.new)]
    here = World(settings, index, world.lakehouse, *models, world.redactor)
    with pytest.raises(Unavailable):
        here.swapping.build(here.new)
    with ExitStack() as server:
        server.enter_context(running_chroma(tmp_path / "chroma", port))
        here.swapping.ensure_serving()
        here.send(6)

        def stop(bucket, _):
            if bucket == "b07":
                server.close()

        with pytest.raises(Unavailable):
            here.swapping.build(here.new, on_bucket=stop)
    with pytest.raises(Unavailable):
        here.search()
    with running_chroma(tmp_path / "chroma", port):
        assert here.swapping.ensure_serving().serving == here.old
        assert here.search() == here.table()
        here.swapping.build(here.new)
        assert in_sync(here)
        index.close()


def test_a_rollback_is_one_step_and_loses_nothing_of_what_came_after_the_swap(world):
    world.send(12)
    world.swapping.build(world.new)
    assert world.sees(world.new)
    world.send(6)
    state = world.swapping.roll_back()
    assert (state.serving, state.previous) == (world.old, world.new)
    assert world.sees(world.old)
    assert world.search() == world.table()
    assert len(world.table()) == 18
    world.send(3)
    assert in_sync(world)
    assert world.swapping.roll_back().serving == world.new, "and forward again"


def test_built_without_a_swap_a_candidate_is_kept_in_step_until_it_is_swapped_or_cancelled(world):
    world.send(12)
    world.swapping.build(world.new, swap=False)
    assert world.swapping.ensure_serving().candidate == world.new
    world.send(3)
    assert in_sync(world)
    assert world.swapping.retire(candidate=True, grace_s=0) == [world.new.name]
    assert world.index.embedders() == {world.old.name}
    world.swapping.build(world.new, swap=False)
    assert world.swapping.swap().serving == world.new


def test_retiring_deletes_the_collections_and_the_stream_makes_no_new_ones(world):
    world.send(12)
    world.swapping.build(world.new)
    assert world.sees(world.new)
    with pytest.raises(Rejected, match="kept for a rollback"):
        world.swapping.build(world.old)
    assert world.swapping.retire(grace_s=0) == [world.old.name]
    world.send(6)  # the deriver embeds with the old setting still
    assert world.index.embedders() == {world.new.name}
    assert world.ids(world.new) == world.table()
    assert world.search() == world.table()
    with pytest.raises(Rejected, match="nothing to roll back"):
        world.swapping.roll_back()


def test_an_indexer_that_cannot_embed_for_the_candidate_serves_on_and_no_swap_comes_of_it(world):
    world.send(6)

    def no_model(space):
        raise Misconfigured(f"no model {space.name}")

    helpless = DualWriteIndex(world.index, EmbedderRegistry(world.index), no_model, MemoryMemo)
    able, world.stream.index = world.stream.index, helpless

    class News(EmbedderRegistry):
        """The stream lands another one before each swap: there is always something that the candidate lacks."""

        def change_spaces(self, before, **after):
            if after.get("previous") is not None:
                world.send(1)
            return super().change_spaces(before, **after)

    with pytest.raises(Unavailable, match="cannot embed"):
        replace(world.swapping, registry=News(world.index)).build(world.new)
    state = world.swapping.ensure_serving()
    assert (state.serving, state.candidate) == (world.old, world.new)
    assert world.ids(world.old) == world.table() == world.search()
    world.stream.index = able
    world.swapping.swap()
    assert in_sync(world)


def test_a_batch_that_began_before_the_candidate_was_there_is_in_it_all_the_same(world):
    """The indexer knows the old revision; the candidate comes, and is compared, while it writes."""
    world.send(6)

    class Slow:
        """Lets a whole build happen before the first write of a batch is acknowledged."""

        def __init__(self, index):
            self.index, self.once = index, True

        def upsert(self, passages, at):
            if self.once:
                self.once = False
                world.swapping.build(world.new)
            self.index.upsert(passages, at)

        def __getattr__(self, name):
            return getattr(self.index, name)

    late = DualWriteIndex(Slow(world.index), EmbedderRegistry(world.index), world.open_embedder, lambda: world.memo)
    assert late.latest_revision().candidate is None
    world.stream.index = late
    world.send(1)
    assert world.swapping.ensure_serving().serving == world.new
    assert in_sync(world)


def test_of_two_processes_that_swap_at_once_one_gets_a_conflict(world):
    state = world.swapping.ensure_serving()
    world.swapping.registry.change_spaces(state, serving=state.serving, candidate=world.new)
    with pytest.raises(Conflict, match="another process"):
        EmbedderRegistry(world.index).change_spaces(state, serving=state.serving)


def test_a_stream_that_lands_and_retracts_all_the_while_is_followed(world):
    world.send(12)
    stop, failures = threading.Event(), []

    def land():
        try:
            while not stop.is_set():
                world.send(2)
                world.take_back(world.rows()[0])
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failures.append(error)

    thread = threading.Thread(target=land)
    thread.start()
    try:
        eventually(lambda: failures or world.sent > 14)
        world.swapping.build(world.new)
        world.swapping.roll_back()
    finally:
        stop.set()
        thread.join(60)
    assert failures == []
    assert in_sync(world)


def test_an_hour_that_is_reprocessed_is_repaired_in_both(world):
    world.send(6)
    world.swapping.build(world.new)
    deriver = ChatDeriver(world.models[world.old.name], world.redactor, world.memo)
    parts = ReprocessInputs(world.lakehouse, world.index, world.stream, None, deriver, ContractLimits(), 64)
    run = partial(reprocess, "messages", NOW, parts, clock=lambda: NOW + timedelta(hours=1))
    assert run().changed is False
    one, other = world.table()[:2]
    world.index.delete([one], embedder=world.new.name)
    world.index.delete([other], embedder=world.old.name)
    assert run().upserted == 2
    assert in_sync(world)
    assert run().changed is False
