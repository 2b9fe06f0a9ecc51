"""A bucket rebuilt as a candidate and exchanged, with real stores, while it is searched and written."""

from __future__ import annotations

import threading
import traceback
from contextlib import closing, contextmanager

import numpy as np
import pytest
from typer.testing import CliRunner

from mmplatform.buckets import bucket_name, candidate_name, collection_name, replaced_name
from mmplatform.cli.main import app
from mmplatform.consumers.rebuild_bucket import BucketRebuild
from mmplatform.consumers.rebuild_index import IndexRebuild
from mmplatform.errors import Rejected, Unavailable
from mmplatform.events import utc_now
from mmplatform.land.index.candidate_bucket import CandidateIndex
from mmplatform.land.index.embedder_registry import EmbedderRegistry, Space
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC
from mmplatform.pipeline.factories import open_dual_write_index
from mmplatform.settings import load
from tests.consumers.lost_store import World, completed_by
from tests.land.records import NOON, passage, retraction
from tests.servers.broker import any_broker
from tests.servers.chroma import running_chroma

pytestmark = pytest.mark.broker
BUCKET = bucket_name(passage(1).subject_key)
EMBEDDER = passage(1).embedder
LIVE = collection_name(EMBEDDER, BUCKET)


@pytest.fixture
def world(tmp_path):
    with any_broker(tmp_path / "broker") as kafka, running_chroma(tmp_path / "chroma") as chroma:
        settings = load(
            kafka_bootstrap_servers=kafka, chroma_url=chroma, data_dir=tmp_path, models_dir=tmp_path, topic_partitions=1
        )
        yield World(settings)


@pytest.fixture
def index(world):
    opened = ChromaIndex.open(world.settings)
    yield opened
    opened.close()


def archive(world, *passages):
    """Passages on the log and in the table, as the archiver commits them."""
    positions = world.write(ARTIFACTS_TOPIC, *passages)
    rows = [(position, record_to_row(one, position)[1]) for position, one in zip(positions, passages, strict=True)]
    world.lakehouse.append("passages", rows, offsets={}, source=ARCHIVE_GROUP)
    world.archived(positions[-1])


def rebuild(world, index, **options):
    return BucketRebuild(world.settings, world.lakehouse, index, world.log, **options)


def names(index):
    return {collection.name for collection in index.list_collections()}


def ids_of(*passages):
    return {each.artifact_id for each in passages}


def test_lost_rows_come_back_and_those_that_were_retracted_go(world, index):
    kept, lost, stale, fresh, other = (passage(n) for n in range(1, 6))
    archive(world, kept, lost)
    other = other.model_copy(update={"subject_id": "someone-else"})
    assert bucket_name(other.subject_key) != BUCKET
    index.upsert([kept, stale, other], NOON)
    world.write(ARTIFACTS_TOPIC, fresh, retraction(stale))
    done = rebuild(world, index).run(BUCKET)
    assert set(index.ids(bucket=BUCKET)) == ids_of(kept, lost, fresh)
    assert (done.passages, done.added, done.removed, done.embedded) == (3, 2, 1, 0)
    assert set(index.ids()) == ids_of(kept, lost, fresh, other), "other buckets are left alone"
    assert not [name for name in names(index) if name in {candidate_name(LIVE), replaced_name(LIVE)}]
    (hit,) = index.search(lost.vector, embedder=EMBEDDER, subject=lost.subject_key, k=1)
    assert hit.passage_id == lost.artifact_id


def test_a_passage_keeps_the_time_at_which_it_became_findable(world, index):
    archive(world, passage(1), passage(2))
    index.upsert([passage(1)], NOON)
    started = utc_now()
    rebuild(world, index).run(BUCKET)
    stamps = {found.passage_id: found.indexed_at for found in index.passage_stamps(NOON.replace(hour=0), utc_now())}
    assert stamps[passage(1).artifact_id] == NOON
    assert stamps[passage(2).artifact_id] >= started


def test_a_passage_that_nothing_accounts_for_stops_the_exchange_until_it_may_go(world, index):
    archive(world, passage(1))
    index.upsert([passage(1), passage(2)], NOON)
    with pytest.raises(Rejected, match=f"has 1 passages that neither.*{passage(2).artifact_id}"):
        rebuild(world, index).run(BUCKET)
    assert set(index.ids(bucket=BUCKET)) == ids_of(passage(1), passage(2))
    assert candidate_name(LIVE) not in names(index)
    assert rebuild(world, index, drop_unknown=True).run(BUCKET).removed == 1
    assert set(index.ids(bucket=BUCKET)) == ids_of(passage(1))


def test_a_passage_derived_again_after_its_retraction_is_no_retracted_one(world, index):
    archive(world, passage(1))
    world.write(ARTIFACTS_TOPIC, retraction(passage(2)))
    again = completed_by(passage(2), 50)
    index.upsert([passage(1), again], NOON)
    with pytest.raises(Rejected, match=again.artifact_id):
        rebuild(world, index).run(BUCKET)


def test_what_the_indexer_writes_to_the_old_collection_during_the_exchange_is_not_lost(world, index, monkeypatch):
    archive(world, passage(1))
    indexer = ChromaIndex.open(world.settings)
    indexer.upsert([passage(1)], NOON)  # from now on it has the old collection's id
    exchange = CandidateIndex.exchange

    def written_meanwhile(candidate, embedder):
        world.write(ARTIFACTS_TOPIC, passage(2), retraction(passage(1)))
        indexer.upsert([passage(2)], NOON)
        open_dual_write_index(world.settings, indexer, EmbedderRegistry(indexer)).retract(
            [retraction(passage(1))], utc_now()
        )
        assert set(index.ids(bucket=BUCKET, embedder=EMBEDDER)) == ids_of(passage(2))
        exchange(candidate, embedder)

    monkeypatch.setattr(CandidateIndex, "exchange", written_meanwhile)
    rebuild(world, index).run(BUCKET)
    assert set(index.ids(bucket=BUCKET)) == ids_of(passage(2))
    indexer.upsert([passage(3)], NOON)  # finds the new collection
    assert set(index.ids(bucket=BUCKET)) == ids_of(passage(2), passage(3))
    indexer.close()


@contextmanager
def repeated(settings, step):
    """Call a step with a client of its own, again and again in a thread, until the block ends."""
    ended, errors = threading.Event(), []

    def loop():
        with closing(ChromaIndex.open(settings)) as client:
            try:
                while not ended.is_set():
                    step(client)
            except Exception as error:  # noqa: BLE001 - shown below
                errors.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    yield
    ended.set()
    thread.join(60)
    assert not errors, traceback.format_exception(errors[0])


def test_while_a_bucket_is_rebuilt_again_and_again_a_search_finds_all_and_no_write_is_lost(world, index):
    """One thread writes as the indexer does, another searches as a process that has just started."""
    stored = [passage(n, vector=np.eye(8, dtype=np.float32)[n]) for n in range(1, 5)]
    archive(world, *stored)
    index.upsert(stored, NOON)
    written, misses = [], []

    def stream(client):
        fresh = passage(10 + len(written))
        world.write(ARTIFACTS_TOPIC, fresh)
        client.upsert([fresh], utc_now())
        written.append(fresh)

    def search(client):
        found = set(client.get(EMBEDDER, BUCKET, sorted(ids_of(*stored))))
        everywhere = client.search(stored[0].vector, embedder=EMBEDDER, k=3)
        if found != ids_of(*stored) or len(everywhere) < 3:
            misses.append((ids_of(*stored) - found, len(everywhere)))
        client.close()

    with repeated(world.settings, stream), repeated(world.settings, search):
        for _ in range(3):
            rebuild(world, index).run(BUCKET)
    assert not misses
    assert written
    assert set(index.ids(bucket=BUCKET)) == ids_of(*stored, *written)


@pytest.mark.parametrize("ended_at", ["filling", "first rename", "second rename"])
def test_a_killed_rebuild_leaves_the_bucket_serving_and_the_next_one_cleans_up(world, index, monkeypatch, ended_at):
    archive(world, passage(1), passage(2))
    index.upsert([passage(1)], NOON)
    rename = CandidateIndex._rename

    class Killed(BaseException):
        pass

    def filled(*_):
        raise Killed

    def renamed(candidate, name, new_name):
        rename(candidate, name, new_name)
        if (new_name == replaced_name(LIVE)) == (ended_at == "first rename"):
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(CandidateIndex, "remove_leftovers", lambda _: 0)  # a killed process does not clean up
        if ended_at == "filling":
            patched.setattr(IndexRebuild, "follow", filled)
        else:
            patched.setattr(CandidateIndex, "_rename", renamed)
        with pytest.raises(Killed):
            rebuild(world, index).run(BUCKET)
    fresh = ChromaIndex.open(world.settings)
    assert passage(1).artifact_id in set(fresh.ids(bucket=BUCKET)), "a process that starts now finds the bucket"
    fresh.upsert([passage(3)], NOON)
    world.write(ARTIFACTS_TOPIC, passage(3))
    assert passage(3).artifact_id in set(fresh.ids(bucket=BUCKET))
    done = rebuild(world, index).run(BUCKET)
    assert done.leftovers >= 1
    assert set(fresh.ids(bucket=BUCKET)) == ids_of(passage(1), passage(2), passage(3))
    assert not [name for name in names(index) if name in {candidate_name(LIVE), replaced_name(LIVE)}]
    fresh.close()


def test_a_server_that_stops_answering_fails_the_rebuild_and_the_bucket_is_as_before(world, index, monkeypatch):
    archive(world, passage(1))
    index.upsert([passage(1)], NOON)

    def unavailable(*_, **__):
        raise Unavailable("index: cannot upsert: the server does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(CandidateIndex, "upsert_rows", unavailable)
        with pytest.raises(Unavailable):
            rebuild(world, index).run(BUCKET)
    assert set(index.ids(bucket=BUCKET)) == ids_of(passage(1))
    assert candidate_name(LIVE) not in names(index)


def test_while_an_embedder_is_built_no_bucket_is_rebuilt(world, index):
    registry = EmbedderRegistry(index)
    revision = registry.ensure_serving(Space(model="one", name=EMBEDDER))
    registry.change_spaces(revision, serving=revision.serving, candidate=Space(model="two", name="two@1"))
    with pytest.raises(Rejected, match="two@1 is being built"):
        rebuild(world, index).run(BUCKET)


def test_the_verb_rebuilds_the_named_buckets_and_refuses_another_name(world, index, monkeypatch):
    archive(world, passage(1))
    for name in ("kafka_bootstrap_servers", "chroma_url", "data_dir", "models_dir", "topic_partitions"):
        monkeypatch.setenv(f"MMPLATFORM_{name.upper()}", str(getattr(world.settings, name)))
    answer = CliRunner().invoke(app, ["index", "rebuild", "--bucket", BUCKET])
    assert answer.exit_code == 0, answer.output
    assert f"{BUCKET}: 1 passages, 1 added, 0 removed" in answer.output
    assert set(index.ids()) == ids_of(passage(1))
    refused = CliRunner().invoke(app, ["index", "rebuild", "--bucket", "b16"])
    assert "'b16' is no bucket" in str(refused.exception)
