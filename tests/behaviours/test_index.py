"""One suite over the vector index: a real Chroma server, and the double of unit tests."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest

from mmplatform.buckets import BUCKET_NAMES, bucket_name, collection_name
from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.land.index import chroma_client
from mmplatform.land.index.chroma_collections import SYNC_THRESHOLD
from mmplatform.land.index.store import ChromaIndex
from mmplatform.locators import CallLocator
from mmplatform.settings import load
from tests.doubles.memory_index import MemoryIndex
from tests.land.records import EMBEDDER, NOON, passage, unit_vector
from tests.servers.chroma import running_chroma
from tests.servers.process import free_ports

LATER = NOON + timedelta(seconds=3)


@pytest.fixture
def connect_to():
    """Open an index that is closed with the test."""
    opened = []

    def connect(address):
        opened.append(ChromaIndex.open(load(chroma_url=address)))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


@pytest.fixture(params=["chroma", "memory"])
def index(request, connect_to):
    if request.param == "memory":
        return MemoryIndex()
    found = connect_to(request.getfixturevalue("chroma_server"))
    for name in found._collection_names():
        found.client().delete_collection(name)
    return found


def search(index, text, **options):
    return index.search(unit_vector(text), embedder=EMBEDDER, **options)


def test_a_landed_passage_is_found_at_once_and_cites_its_source(index):
    landed = passage(1, text="the payment failed")
    index.upsert([landed], LATER)
    (hit,) = search(index, "the payment failed", subject_id="ann")
    assert hit.passage_id == landed.artifact_id
    assert hit.text == "the payment failed"
    assert hit.score == pytest.approx(1.0, abs=1e-5)
    assert (hit.modality, hit.subject_id, hit.conversation_id) == ("chat", "ann", "conversation-ann")
    assert hit.locator == landed.locator
    assert (hit.source_kind, hit.source_artifact_id) == ("message", landed.source_artifact_id)
    assert hit.event_ids == ("event-1",)
    assert hit.embedder == EMBEDDER
    stamps = landed.stamps
    assert (hit.event_time, hit.ingested_at, hit.derived_at) == (
        stamps.event_time,
        stamps.ingested_at,
        stamps.derived_at,
    )
    assert hit.indexed_at == LATER


def test_the_other_locators_come_back_too(index):
    call = CallLocator(call_id="c", channel=1, speaker="agent", start_s=1.5, end_s=4.0)
    index.upsert([passage(1, modality="call").model_copy(update={"locator": call})], LATER)
    assert search(index, "x")[0].locator == call


def test_landing_twice_leaves_one_and_the_last_one_counts(index):
    index.upsert([passage(1, text="draft")], NOON)
    index.upsert([passage(1, text="older in the batch"), passage(2), passage(1, text="final")], LATER)
    assert index.count() == 2
    assert sorted(index.ids()) == sorted(passage(n).artifact_id for n in (1, 2))
    assert search(index, "final")[0].text == "final"
    assert "draft" not in {hit.text for hit in search(index, "draft")}


def test_the_nearest_come_first_and_no_more_than_asked(index):
    index.upsert([passage(n, subject=f"s{n}") for n in range(40)], LATER)
    hits = search(index, "passage number 7", k=5)
    assert len(hits) == 5
    assert hits[0].text == "passage number 7"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    everything = {n: float(unit_vector("passage number 7") @ passage(n).vector) for n in range(40)}
    best = sorted(everything, key=everything.__getitem__, reverse=True)[:5]
    assert [hit.text for hit in hits] == [f"passage number {n}" for n in best]


def test_a_person_sees_only_their_own_passages(index):
    neighbour = next(f"p{n}" for n in range(1000) if bucket_name(f"p{n}") == bucket_name("ann"))
    index.upsert([passage(1, subject="ann"), passage(2, subject=neighbour), passage(3, subject="zoe")], LATER)
    assert {hit.subject_id for hit in search(index, "x", subject_id="ann")} == {"ann"}
    assert {hit.subject_id for hit in search(index, "x")} == {"ann", neighbour, "zoe"}
    assert list(index.ids(subject_id=neighbour)) == [passage(2).artifact_id]
    assert passage(3).artifact_id not in set(index.ids(bucket=bucket_name("ann")))
    assert len(list(index.ids(bucket=bucket_name("ann")))) == 2


def test_modality_and_time_filters_hold(index):
    index.upsert(
        [
            passage(1, modality="chat", at=NOON),
            passage(2, modality="call", at=NOON + timedelta(minutes=1)),
            passage(3, modality="screenshot", at=NOON + timedelta(minutes=2, microseconds=1)),
        ],
        LATER,
    )
    assert _texts(search(index, "x", modalities=["call", "screenshot"])) == {"passage number 2", "passage number 3"}
    assert _texts(search(index, "x", since=NOON + timedelta(minutes=1))) == {"passage number 2", "passage number 3"}
    assert _texts(search(index, "x", until=NOON + timedelta(minutes=1))) == {"passage number 1"}
    assert _texts(search(index, "x", subject_id="ann", modalities=["chat"], since=NOON, until=LATER)) == {
        "passage number 1"
    }
    assert _texts(search(index, "x", until=NOON + timedelta(minutes=2, microseconds=1))) == {
        "passage number 1",
        "passage number 2",
    }


def test_vectors_of_two_embedders_never_mix(index):
    index.upsert([passage(1, text="old"), passage(1, text="new", embedder="minilm@2", vector=np.ones(4))], LATER)
    assert _texts(search(index, "x")) == {"old"}
    assert _texts(index.search(np.ones(4), embedder="minilm@2")) == {"new"}
    assert index.count() == 2
    assert index.count(embedder="minilm@2") == 1


def test_a_vector_of_another_length_is_rejected_and_the_rest_stays(index):
    index.upsert([passage(1)], LATER)
    with pytest.raises(Rejected):
        index.upsert([passage(2, vector=np.ones(5))], LATER)
    assert index.count() == 1


def test_a_deleted_passage_is_not_found_and_deleting_again_does_nothing(index):
    index.upsert([passage(n, subject=f"s{n}") for n in range(6)], LATER)
    gone = [passage(n).artifact_id for n in (0, 1)]
    index.delete(gone)
    index.delete([*gone, "f" * 32])
    index.delete([passage(2).artifact_id], subject_id="s2")
    index.delete([])
    assert set(index.ids()) == {passage(n).artifact_id for n in (3, 4, 5)}
    assert not search(index, "x", subject_id="s0")


def test_a_deletion_takes_the_passage_from_every_embedder(index):
    index.upsert([passage(1), passage(1, embedder="minilm@2")], LATER)
    index.delete([passage(1).artifact_id], subject_id="ann")
    assert index.count() == 0


def test_an_empty_index_answers(index):
    assert search(index, "x") == []
    assert search(index, "x", subject_id="ann") == []
    assert list(index.ids()) == []
    assert list(index.ids(subject_id="ann")) == []
    assert index.count() == 0
    index.upsert([], LATER)


def test_ids_come_over_several_pages(index):
    rows = [passage(n) for n in range(1203)]
    index.upsert(rows, LATER)
    assert set(index.ids(subject_id="ann")) == {row.artifact_id for row in rows}
    assert index.count() == len(rows)


def test_several_writers_lose_nothing(index):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: index.upsert([passage(n, subject=f"s{n % 5}")], LATER), range(40)))
    assert len(set(index.ids())) == 40


def test_a_rebuilt_collection_is_found_again(chroma_server, connect_to):
    index = connect_to(chroma_server)
    index.upsert([passage(1, subject="rebuilt")], LATER)
    other = connect_to(chroma_server)
    for name in other._collection_names(suffix=f"-{bucket_name('rebuilt')}"):
        other.client().delete_collection(name)
    assert search(index, "x", subject_id="rebuilt") == []
    index.upsert([passage(2, subject="rebuilt")], LATER)
    assert _texts(search(index, "x", subject_id="rebuilt")) == {"passage number 2"}


def test_a_collection_that_an_older_release_made_is_tuned_at_the_start(chroma_server, connect_to):
    index = connect_to(chroma_server)
    old, new = (collection_name("tuned@1", bucket) for bucket in BUCKET_NAMES[:2])
    made = index.client().create_collection(old, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    assert made.configuration["hnsw"]["sync_threshold"] > SYNC_THRESHOLD
    index.create_collections("tuned@1")
    found = {each.name: each.configuration["hnsw"] for each in index.list_collections()}
    assert [found[name]["sync_threshold"] for name in (old, new)] == [SYNC_THRESHOLD, SYNC_THRESHOLD]
    assert [found[name]["space"] for name in (old, new)] == ["cosine", "cosine"]
    index.drop_embedder("tuned@1")


def test_the_index_outlives_a_restart_of_its_server_and_says_when_it_is_away(tmp_path, connect_to):
    port = free_ports(1)[0]
    index = connect_to(f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable):
        index.upsert([passage(1)], LATER)
    with running_chroma(tmp_path, port):
        index.upsert([passage(1)], LATER)
    for call in (lambda: index.upsert([passage(2)], LATER), index.count, lambda: search(index, "x")):
        with pytest.raises(Unavailable):
            call()
    with running_chroma(tmp_path, port):
        index.upsert([passage(2)], LATER)
        assert _texts(search(index, "x", subject_id="ann")) == {"passage number 1", "passage number 2"}


def test_a_server_that_never_answers_is_unavailable(monkeypatch, chroma_server, connect_to):
    index = connect_to(chroma_server)
    index.count()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = index._client._server
        monkeypatch.setattr(server, "_api_url", f"http://127.0.0.1:{silent.getsockname()[1]}/api/v2")
        assert server._session.timeout.read == chroma_client._TIMEOUT_S
        server._session.timeout = 0.2
        with pytest.raises(Unavailable):
            index.count()


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://x"])
def test_an_address_that_is_no_url_is_misconfigured(address):
    with pytest.raises(Misconfigured, match="MMPLATFORM_CHROMA_URL"):
        ChromaIndex.open(load(chroma_url=address)).count()


def _texts(hits):
    return {hit.text for hit in hits}
