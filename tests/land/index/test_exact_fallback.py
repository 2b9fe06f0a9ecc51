"""A search for one subject finds all passages, also those that the server's graph does not reach."""

from __future__ import annotations

import pytest

from mmplatform.buckets import bucket_name, collection_name
from mmplatform.events import utc_now
from mmplatform.land.index.store import ChromaIndex
from mmplatform.settings import load
from tests.land.records import EMBEDDER, passage, unit_vector
from tests.servers.chroma import running_chroma

ROWS = [passage(number) for number in range(12)]
WHERE = collection_name(EMBEDDER, bucket_name("default/ann"))


class Hiding:
    """A real collection whose graph does not reach some of its rows; counts the calls."""

    def __init__(self, collection, hidden: set[str]) -> None:
        self._collection = collection
        self._hidden = hidden
        self.calls: list[str] = []

    def query(self, n_results, **asked):
        self.calls.append("query")
        found = self._collection.query(n_results=100, **asked)
        seen = [place for place, each in enumerate(found["ids"][0]) if each not in self._hidden][:n_results]
        return {
            part: [[found[part][0][place] for place in seen]] for part in ("ids", "documents", "metadatas", "distances")
        }

    def get(self, **asked):
        self.calls.append("get")
        return self._collection.get(**asked)


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        index = ChromaIndex.open(load(chroma_url=address))
        index.upsert([*ROWS, passage(99, subject="zoe")], utc_now())
        yield index
        index.close()


def search(index, k=100, **asked):
    found = index.search(unit_vector("passage number 3"), embedder=EMBEDDER, k=k, **asked)
    return [(hit.passage_id, hit.text, pytest.approx(hit.score, abs=1e-5), hit.event_ids) for hit in found]


@pytest.fixture
def hiding(landed):
    """The collection, with its nearest row and two others out of the graph's reach."""
    collection = landed._collections[WHERE]
    hidden = Hiding(collection, {ROWS[n].artifact_id for n in (3, 7, 8)})
    yield lambda: landed._collections.update({WHERE: hidden}) or hidden
    landed._collections[WHERE] = collection


def test_a_row_that_ann_search_misses_is_found_with_its_score(landed, hiding):
    whole = search(landed, subject="default/ann")
    assert len(whole) == len(ROWS)
    assert whole[0][0] == ROWS[3].artifact_id
    hiding()
    assert search(landed, subject="default/ann") == whole
    assert search(landed, subject="default/ann", modalities=["chat"]) == whole
    assert search(landed, subject="default/ann", modalities=["call"]) == []
    assert search(landed, k=10, subject="default/ann") == whole[:10]


def test_a_search_with_enough_hits_sends_one_query(landed, hiding):
    collection = hiding()
    assert len(search(landed, k=5, subject="default/ann")) == 5
    assert collection.calls == ["query"]


def test_a_search_that_misses_nothing_reads_no_vector(landed, hiding):
    collection = hiding()
    collection._hidden = set()
    assert len(search(landed, subject="default/ann")) == len(ROWS)
    assert collection.calls == ["query", "get"]
