"""An upsert is verified by a search: rows that Chroma omitted from its graph are written again."""

from __future__ import annotations

import pytest
from chromadb.errors import InternalError, NotFoundError

from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.land.index.chroma_client import chroma_errors
from mmplatform.land.index.store import ChromaIndex, find_missing
from mmplatform.settings import load
from tests.builders import chat, message, passage, position

ROWS = [passage(message(chat(n), position(n))) for n in range(4)]
IDS = [row.artifact_id for row in ROWS]


class Forgetful:
    """A collection that takes every row, and leaves the rows in ``forgets`` out of its graph so many times."""

    def __init__(self, forgets: dict[str, int]) -> None:
        self.graph: set[str] = set()
        self.writes: list[list[str]] = []
        self._forgets = dict(forgets)

    def upsert(self, ids, **_):
        self.writes.append(list(ids))
        for each in ids:
            if self._forgets.get(each, 0) > 0:
                self._forgets[each] -= 1
            else:
                self.graph.add(each)

    def get(self, **_):
        return {"ids": [], "metadatas": []}

    def query(self, ids, n_results, **_):
        return {"ids": [[each for each in ids if each in self.graph][:n_results]]}


def index_over(collection) -> ChromaIndex:
    index = ChromaIndex.open(load(chroma_url="http://127.0.0.1:1"))
    index._client = object()
    index._get_collection = lambda *_: collection
    return index


def test_what_is_findable_is_written_once():
    collection = Forgetful({})
    index_over(collection).upsert(ROWS, utc_now())
    assert collection.writes == [IDS]


@pytest.mark.parametrize("times", [1, 2])
def test_a_row_that_no_search_finds_is_written_again_and_alone(times):
    collection = Forgetful({IDS[2]: times})
    index_over(collection).upsert(ROWS, utc_now())
    assert collection.writes == [IDS, *[[IDS[2]]] * times]
    assert collection.graph == set(IDS)


def test_a_row_that_stays_lost_does_not_block_the_writer():
    collection = Forgetful({IDS[2]: 100})
    index_over(collection).upsert(ROWS, utc_now())
    assert collection.graph == set(IDS) - {IDS[2]}


def test_a_search_that_only_overlooks_a_row_among_others_is_no_loss():
    collection = Forgetful({})
    collection.upsert(IDS)
    whole = collection.query
    collection.query = lambda ids, n_results, **more: whole(ids, max(1, n_results - 1), **more)
    assert find_missing(collection, ROWS) == set()


def test_a_collection_whose_first_row_is_on_its_way_is_empty_not_broken():
    with pytest.raises(NotFoundError), chroma_errors("search"):
        raise InternalError("Error executing plan: Internal error: Error creating hnsw segment reader: Nothing found")
    with pytest.raises(Unavailable), chroma_errors("search"):
        raise InternalError("Error executing plan: disk on fire")
