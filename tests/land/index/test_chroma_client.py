"""The connection to Chroma: past a proxy, within its timeout, and what is no Chroma is away rather than a refusal."""

from __future__ import annotations

import socket

import pytest
from chromadb.errors import InvalidArgumentError

from mmplatform.errors import Rejected, Unavailable
from mmplatform.land.index import chroma_client
from mmplatform.land.index.chroma_client import chroma_errors
from mmplatform.land.index.chroma_collections import SYNC_THRESHOLD, tune
from mmplatform.land.index.store import ChromaIndex
from mmplatform.settings import load
from tests.land.records import NOON, passage
from tests.servers.chroma import running_chroma
from tests.servers.proxy import answering

PAGE = b"<html><body>Please sign in to the guest network</body></html>"


@pytest.fixture(scope="module")
def chroma_server(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture
def proxy(monkeypatch):
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with answering(PAGE, kind="text/html") as found:
        monkeypatch.setenv("HTTP_PROXY", found.url)
        yield found


@pytest.fixture
def index(chroma_server):
    opened = ChromaIndex.open(load(chroma_url=chroma_server))
    yield opened
    opened.close()


def test_a_server_on_this_machine_is_reached_past_the_proxy(index, proxy):
    index.upsert([passage(1)], NOON)
    assert list(index.ids(subject="default/ann")) == [passage(1).artifact_id]
    assert proxy.requests == []


def test_a_server_elsewhere_is_asked_through_the_proxy_whose_own_page_means_away(proxy):
    with pytest.raises(Unavailable, match="as Chroma does"):
        ChromaIndex.open(load(chroma_url="http://chroma.invalid:8000")).upsert([passage(1)], NOON)
    assert proxy.requests
    assert all(target.startswith("http://chroma.invalid:8000/") for target in proxy.requests)


@pytest.mark.parametrize("status", [200, 302, 404, 502])
def test_a_page_in_place_of_an_answer_never_refuses_a_passage(index, monkeypatch, status):
    index.upsert([passage(1)], NOON)
    with answering(PAGE, status=status, kind="text/html") as page:
        monkeypatch.setattr(index._client._server, "_api_url", f"{page.url}/api/v2")
        for call in (lambda: index.upsert([passage(1)], NOON), lambda: index.delete(["x"]), index.count):
            with pytest.raises(Unavailable, match="not Chroma's"):
                call()
        assert page.requests


@pytest.mark.parametrize("status", [200, 502])
def test_what_is_no_chroma_at_the_first_call_is_away_too(status):
    with answering(PAGE, status=status, kind="text/html") as page, pytest.raises(Unavailable):
        ChromaIndex.open(load(chroma_url=page.url)).upsert([passage(1)], NOON)


def test_a_server_that_is_silent_from_the_first_call_on_is_away(monkeypatch):
    monkeypatch.setattr(chroma_client, "_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable):
        ChromaIndex.open(load(chroma_url=f"http://127.0.0.1:{silent.getsockname()[1]}")).count()


def test_rows_that_the_client_refuses_are_still_rejected():
    with pytest.raises(Rejected, match="refused the rows"), chroma_errors("upsert"):
        raise ValueError("Expected IDs to be unique")


class Made:
    """A collection whose server says this of its index, and does this when it is asked to change it."""

    name = "passages-x"

    def __init__(self, configuration, refuses=None) -> None:
        self.configuration, self.changes, self._refuses = configuration, [], refuses

    def modify(self, configuration):
        if self._refuses is not None:
            raise self._refuses
        self.changes.append(configuration)


@pytest.mark.parametrize(
    "configuration", [{}, {"hnsw": None, "spann": {}}, {"hnsw": {"sync_threshold": SYNC_THRESHOLD}}]
)
def test_a_collection_that_has_nothing_to_tune_is_left_alone(configuration):
    made = Made(configuration)
    tune(made)
    assert made.changes == []


@pytest.mark.parametrize("refuses", [InvalidArgumentError("no"), ValueError("spann")])
def test_a_server_that_refuses_to_be_tuned_does_not_block_the_start(refuses):
    tune(Made({"hnsw": {"sync_threshold": 1000}}, refuses))


def test_a_collection_of_an_older_release_is_tuned():
    made = Made({"hnsw": {"sync_threshold": 1000}})
    tune(made)
    assert made.changes == [{"hnsw": {"sync_threshold": SYNC_THRESHOLD}}]
