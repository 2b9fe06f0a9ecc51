"""One suite over the vector index: a real Chroma server, and the double of unit tests."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import numpy as np
import pytest
from chromadb.errors import NotFoundError

from mmplatform.buckets import BUCKET_NAMES, bucket_name, collection_name
from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.identity import CANARY_TENANT
from mmplatform.land.index import chroma_client
from mmplatform.land.index.canary_collections import drop_canaries
from mmplatform.land.index.chroma_collections import SYNC_THRESHOLD
from mmplatform.land.index.newest_versions import StoredVersion, newest_versions
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.index.tombstones import COLLECTION as TOMBSTONES
from mmplatform.land.index.tombstones import RETENTION
from mmplatform.locators import CallLocator
from mmplatform.settings import load
from mmplatform.versions import Version
from tests.doubles.memory_index import MemoryIndex, MemoryServer
from tests.land.records import EMBEDDER, NOON, passage, retraction, unit_vector
from tests.servers.chroma import running_chroma
from tests.servers.process import free_ports

LATER = NOON + timedelta(seconds=3)
ANN = bucket_name("default/ann")


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
def new_client(request, connect_to):
    """Open one more client of the same empty server: another process, or this one after a restart."""
    if request.param == "memory":
        server = MemoryServer()
        return lambda: MemoryIndex(server)
    address = request.getfixturevalue("chroma_server")
    first = connect_to(address)
    for name in (*first._collection_names(), TOMBSTONES):
        with suppress(NotFoundError):
            first.client().delete_collection(name)
    return lambda: connect_to(address)


@pytest.fixture
def index(new_client):
    return new_client()


def search(index, text, **options):
    return index.search(unit_vector(text), embedder=EMBEDDER, **options)


def test_a_landed_passage_is_found_at_once_and_cites_its_source(index):
    landed = passage(1, text="the payment failed")
    index.upsert([landed], LATER)
    (hit,) = search(index, "the payment failed", subject="default/ann")
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


def test_a_hit_has_the_language_of_its_text_and_how_much_of_the_redaction_knows_it(index):
    index.upsert([passage(1).model_copy(update={"language": "vi", "redaction_coverage": "language_independent"})], NOON)
    (hit,) = search(index, "x")
    assert (hit.language, hit.redaction_coverage) == ("vi", "language_independent")


def test_the_other_locators_come_back_too(index):
    call = CallLocator(call_id="c", channel=1, speaker="agent", start_s=1.5, end_s=4.0)
    index.upsert([passage(1, modality="call").model_copy(update={"locator": call})], LATER)
    assert search(index, "x")[0].locator == call


def test_of_two_versions_the_higher_one_counts_in_one_batch_too(index):
    index.upsert([said(1, 2, "draft")], NOON)
    index.upsert([said(1, 3, "older in the batch"), passage(2), said(1, 4, "final"), said(1, 3, "late")], LATER)
    assert index.count() == 2
    assert sorted(index.ids()) == sorted(passage(n).artifact_id for n in (1, 2))
    assert search(index, "final")[0].text == "final"
    assert "draft" not in {hit.text for hit in search(index, "draft")}


def test_a_lower_or_equal_version_that_comes_later_changes_nothing(new_client):
    new_client().upsert([said(1, 5, "newer")], NOON)
    for writer in (new_client(), new_client()):
        writer.upsert([said(1, 3, "lower"), said(1, 5, "the same version, another text")], LATER)
        assert [(hit.text, hit.indexed_at) for hit in search(writer, "newer")] == [("newer", NOON)]


@pytest.mark.parametrize("part", Version._fields)
def test_each_part_of_a_version_counts_before_those_after_it(index, part):
    place = Version._fields.index(part)
    low, high = Version(*[0] * place, 9, *[99] * (3 - place)), Version(*[0] * place, 10)
    index.upsert([passage(1, text="high", version=high)], NOON)
    index.upsert([passage(1, text="low", version=low)], LATER)
    assert _texts(search(index, "x")) == {"high"}


def test_in_whatever_order_and_however_often_versions_come_the_highest_stays(new_client):
    for subject, order in enumerate([(1, 2, 3, 3), (3, 2, 1, 3), (2, 3, 1, 2)]):
        writers = new_client(), new_client()
        for place, version in enumerate(order):
            writers[place % 2].upsert([said(subject, version, f"text {version}")], LATER)
    assert [hit.text for hit in search(new_client(), "x")] == ["text 3"] * 3


def said(number, version, text="", **change):
    return passage(number, text=text, version=Version(offset=version), **change)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_retraction_that_comes_before_its_passage_keeps_it_out(new_client, restarted):
    writer = new_client()
    writer.tombstones.add([retraction(said(1, 5))], NOON)
    writer = new_client() if restarted else writer
    writer.upsert([said(1, 4, "lower"), said(2, 1, "another")], LATER)
    writer.upsert([said(1, 5, "of the same version")], LATER)
    assert _texts(search(writer, "x")) == {"another"}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_passage_with_a_higher_version_than_its_retraction_is_found_again(new_client, restarted):
    writer = new_client()
    writer.upsert([said(1, 4, "wrong")], NOON)
    writer.tombstones.add([retraction(said(1, 5))], NOON)
    writer.delete([said(1, 5).artifact_id], bucket=ANN, through={said(1, 5).artifact_id: Version(offset=5).sortable})
    assert search(writer, "x", subject="default/ann") == []
    writer = new_client() if restarted else writer
    writer.upsert([said(1, 6, "said again")], LATER)
    assert _texts(search(writer, "x", subject="default/ann")) == {"said again"}
    writer.upsert([said(1, 5, "late")], LATER)
    assert _texts(search(writer, "said again", subject="default/ann")) == {"said again"}


def test_a_retraction_keeps_a_passage_out_of_every_embedders_collections(index):
    index.tombstones.add([retraction(said(1, 5))], NOON)
    index.upsert([said(1, 5), said(1, 5, embedder="minilm@2"), said(1, 6, embedder="new@3")], LATER)
    assert (index.count(), index.count(embedder="new@3")) == (1, 1)


def test_a_deletion_spares_rows_above_the_version_that_it_names(index):
    index.upsert([said(1, 5), said(1, 4, embedder="minilm@2"), said(2, 5), said(3, 6)], LATER)
    through = {said(n, 0).artifact_id: Version(offset=5).sortable for n in (1, 2, 3)}
    index.delete([said(3, 0).artifact_id, said(2, 0).artifact_id], bucket=ANN, embedder=EMBEDDER, through=through)
    assert sorted(index.ids()) == sorted([said(1, 0).artifact_id] * 2 + [said(3, 0).artifact_id])
    index.delete([said(1, 0).artifact_id], through=through | {said(1, 0).artifact_id: Version(offset=4).sortable})
    assert sorted(index.ids()) == sorted([said(1, 0).artifact_id, said(3, 0).artifact_id])
    assert index.count(embedder="minilm@2") == 0


def test_a_lower_retraction_changes_nothing_whoever_knows_of_the_higher_one(new_client):
    first, second = new_client(), new_client()
    assert dict(second.tombstones.versions()) == {}
    first.tombstones.add([retraction(said(1, 7))], NOON)
    second.tombstones.add([retraction(said(1, 5)), retraction(said(2, 5)), retraction(said(2, 3))], LATER)
    expected = {said(1, 0).artifact_id: Version(offset=7).sortable, said(2, 0).artifact_id: Version(offset=5).sortable}
    assert dict(second.tombstones.versions()) == expected, "it has read what it did not overwrite"
    first.tombstones.forget()
    assert dict(first.tombstones.versions()) == dict(new_client().tombstones.versions()) == expected


def test_another_writers_retraction_counts_once_the_own_memory_is_forgotten(new_client):
    first, second = new_client(), new_client()
    first.upsert([said(2, 1)], NOON)
    second.tombstones.add([retraction(said(1, 5))], NOON)
    first.tombstones.forget()
    first.upsert([said(1, 5)], LATER)
    assert list(first.ids()) == [said(2, 1).artifact_id]


def test_retractions_are_dropped_after_their_retention_and_not_before(new_client):
    index = new_client()
    index.tombstones.add([retraction(said(1, 5))], NOON)
    index.tombstones.add([retraction(said(2, 5))], NOON + timedelta(hours=1))
    index.tombstones.prune(NOON + RETENTION)
    assert len(index.tombstones.versions()) == 2
    index.tombstones.prune(NOON + RETENTION + timedelta(minutes=1))
    assert set(index.tombstones.versions()) == set(new_client().tombstones.versions()) == {said(2, 5).artifact_id}


def test_retractions_are_no_passages(index):
    index.tombstones.add([retraction(said(1, 5))], NOON)
    assert (index.count(), list(index.ids()), search(index, "x")) == (0, [], [])


def test_a_stamp_is_corrected_for_the_version_that_was_written_and_no_other(index):
    index.upsert([said(1, 5), said(2, 5)], NOON)
    index.restamp([said(1, 4), said(2, 5), said(3, 5)], LATER)
    stamps = {hit.passage_id: hit.indexed_at for hit in search(index, "x")}
    assert stamps == {said(1, 5).artifact_id: NOON, said(2, 5).artifact_id: LATER}
    hit = next(hit for hit in search(index, "x") if hit.passage_id == said(2, 5).artifact_id)
    assert (hit.text, hit.event_ids, hit.locator) == ("passage number 2", ("event-2",), said(2, 5).locator)


def test_versions_are_read_back(index):
    index.upsert([said(1, 5), said(2, 7, embedder="minilm@2")], LATER)
    ids = [said(n, 0).artifact_id for n in (1, 2, 3)]
    assert index.versions(EMBEDDER, ANN, ids) == {ids[0]: Version(offset=5).sortable}
    assert index.versions("minilm@2", ANN, ids) == {ids[1]: Version(offset=7).sortable}
    assert index.versions(EMBEDDER, ANN, []) == index.versions("none@1", ANN, ids) == {}


def test_two_tenants_with_one_subject_id_never_see_each_others_passages(index):
    """With names whose buckets are the same, so that the filter alone parts them."""
    tenant = next(f"t{n}" for n in range(1000) if bucket_name(f"t{n}/ann") == ANN)
    elsewhere = next(f"t{n}" for n in range(1000) if bucket_name(f"t{n}/ann") != ANN)
    tenants = {"default": 1, tenant: 2, elsewhere: 3}
    index.upsert([passage(number, tenant=name) for name, number in tenants.items()], LATER)
    for name, number in tenants.items():
        hits = search(index, f"passage number {number % 3 + 1}", subject=f"{name}/ann")
        assert [(hit.tenant, hit.subject_id, hit.text) for hit in hits] == [(name, "ann", f"passage number {number}")]
        assert list(index.ids(subject=f"{name}/ann")) == [passage(number).artifact_id]
    assert search(index, "x", subject="ann") == []
    assert search(index, "x", subject=f"{tenant}/an") == []
    index.delete([passage(1).artifact_id, passage(3).artifact_id], bucket=ANN)
    assert set(index.ids()) == {passage(2).artifact_id, passage(3).artifact_id}


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
    neighbour = next(f"p{n}" for n in range(1000) if bucket_name(f"default/p{n}") == ANN)
    far = next(f"p{n}" for n in range(1000) if bucket_name(f"default/p{n}") != ANN)
    index.upsert([passage(1, subject="ann"), passage(2, subject=neighbour), passage(3, subject=far)], LATER)
    assert {hit.subject_id for hit in search(index, "x", subject="default/ann")} == {"ann"}
    assert {hit.subject_id for hit in search(index, "x")} == {"ann", neighbour, far}
    assert list(index.ids(subject=f"default/{neighbour}")) == [passage(2).artifact_id]
    assert passage(3).artifact_id not in set(index.ids(bucket=ANN))
    assert len(list(index.ids(bucket=ANN))) == 2


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
    assert _texts(search(index, "x", subject="default/ann", modalities=["chat"], since=NOON, until=LATER)) == {
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
    index.delete([passage(2).artifact_id], bucket=bucket_name("default/s2"))
    index.delete([])
    assert set(index.ids()) == {passage(n).artifact_id for n in (3, 4, 5)}
    assert not search(index, "x", subject="default/s0")


def test_a_deletion_takes_the_passage_from_every_embedder(index):
    index.upsert([passage(1), passage(1, embedder="minilm@2")], LATER)
    index.delete([passage(1).artifact_id], bucket=ANN)
    assert index.count() == 0


def test_an_empty_index_answers(index):
    assert search(index, "x") == []
    assert search(index, "x", subject="default/ann") == []
    assert list(index.ids()) == []
    assert list(index.ids(subject="default/ann")) == []
    assert index.count() == 0
    index.upsert([], LATER)


def test_ids_come_over_several_pages(index):
    rows = [passage(n) for n in range(1203)]
    index.upsert(rows, LATER)
    assert set(index.ids(subject="default/ann")) == {row.artifact_id for row in rows}
    assert index.count() == len(rows)


def test_several_writers_lose_nothing(index):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: index.upsert([passage(n, subject=f"s{n % 5}")], LATER), range(40)))
    assert len(set(index.ids())) == 40


def test_a_rebuilt_collection_is_found_again(chroma_server, connect_to):
    index = connect_to(chroma_server)
    index.upsert([passage(1, subject="rebuilt")], LATER)
    other = connect_to(chroma_server)
    for name in other._collection_names(suffix=f"-{bucket_name('default/rebuilt')}"):
        other.client().delete_collection(name)
    assert search(index, "x", subject="default/rebuilt") == []
    index.upsert([passage(2, subject="rebuilt")], LATER)
    assert _texts(search(index, "x", subject="default/rebuilt")) == {"passage number 2"}


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
        assert _texts(search(index, "x", subject="default/ann")) == {"passage number 1", "passage number 2"}


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


def test_the_newest_versions_of_rows_and_retractions_are_read_on_the_server(chroma_server, connect_to):
    index, reader = connect_to(chroma_server), connect_to(chroma_server)
    row, retracted = said(901, 4), said(902, 5)
    index.upsert([row], NOON)
    index.tombstones.add([retraction(retracted)], NOON)
    found = newest_versions(reader, EMBEDDER, [row, row, retracted, said(903, 1)])
    assert found == {
        row.artifact_id: StoredVersion(Version(offset=4).sortable, is_retraction=False),
        retracted.artifact_id: StoredVersion(Version(offset=5).sortable, is_retraction=True),
    }
    assert found[retracted.artifact_id].outdates(Version(offset=5).sortable)
    assert not found[row.artifact_id].outdates(Version(offset=4).sortable)
    assert newest_versions(reader, EMBEDDER, []) == {}


def canary(number, day="20260301"):
    return passage(number, subject=f"{day}-chat-{number}").model_copy(update={"tenant": CANARY_TENANT})


def test_a_canary_is_found_by_its_own_subject_and_in_no_search_over_all_and_no_count(new_client):
    index = new_client()
    index.upsert([passage(1), canary(2)], LATER)
    [found] = index.search(unit_vector("2"), embedder=EMBEDDER, subject=canary(2).subject_key, tenant=CANARY_TENANT)
    assert found.passage_id == canary(2).artifact_id
    assert [hit.passage_id for hit in index.search(unit_vector("2"), embedder=EMBEDDER)] == [passage(1).artifact_id]
    assert index.count() == 1
    assert list(index.ids()) == [passage(1).artifact_id]


def test_a_retracted_passage_of_a_canary_is_deleted_from_its_own_bucket(new_client):
    index = new_client()
    index.upsert([canary(2), canary(3)], LATER)
    index.delete([canary(2).artifact_id], bucket=bucket_name(canary(2).subject_key))
    found = [index.search(unit_vector("2"), embedder=EMBEDDER, subject=canary(number).subject_key) for number in (2, 3)]
    assert [len(hits) for hits in found] == [0, 1]


def test_canaries_of_past_days_are_dropped_as_a_whole(connect_to, chroma_server):
    index = connect_to(chroma_server)
    index.upsert([passage(1), canary(2, "20260228"), canary(3, "20260301")], LATER)
    drop_canaries(index, "20260301")
    found = {
        one.artifact_id: index.search(unit_vector("2"), embedder=EMBEDDER, subject=one.subject_key)
        for one in (canary(2, "20260228"), canary(3, "20260301"), passage(1))
    }
    assert [len(hits) for hits in found.values()] == [0, 1, 1]
    assert drop_canaries(index, "20260301") == 0
