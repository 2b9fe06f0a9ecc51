"""``POST /v1/search`` as it is called: over HTTP, with the gateway's problems."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.retrieve.endpoints import MAX_BODY_BYTES, search_router
from mmplatform.retrieve.search.fenced_search import FencedSearch
from mmplatform.retrieve.search.search import Searcher
from mmplatform.web.problems import install_problem_handlers
from tests.doubles.embedder import SeededEmbedder
from tests.doubles.memory_index import MemoryIndex
from tests.land.records import NOON, passage
from tests.retrieve.tail.model import overlay_of

MINUTE = timedelta(minutes=1)
SECRET = "4111 1111 1111 1111"


class Index(MemoryIndex):
    """``failure`` is raised; ``held`` is waited for."""

    failure: Exception | None = None
    held: threading.Event | None = None

    def search(self, *arguments, **filters):
        if self.held is not None:
            assert self.held.wait(20)
        if self.failure is not None:
            raise self.failure
        return super().search(*arguments, **filters)


@pytest.fixture
def index():
    made = Index()
    made.upsert([passage(1), passage(2, modality="call", at=NOON + MINUTE, subject="zoe")], NOON + MINUTE)
    return made


@pytest.fixture
async def http(index):
    app = FastAPI()
    install_problem_handlers(app)
    embedder = SeededEmbedder()
    searcher = Searcher(overlay_of(index), lambda: embedder)
    app.include_router(search_router(lambda: FencedSearch(searcher)))

    @app.get("/other")
    async def other() -> str:
        return "ok"

    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def found(http, **body):
    answer = await http.post("/v1/search", json={"query": "x"} | body)
    assert answer.status_code == 200, answer.text
    return sorted(hit["text"] for hit in answer.json()["hits"])


def problem(answer, status, kind):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["type"]) == (status, f"urn:mmplatform:problem:{kind}")
    return body


async def test_a_question_is_answered_with_hits_that_cite(http):
    answer = await http.post("/v1/search", json={"query": "passage number 1", "subject_id": "ann"})
    assert answer.status_code == 200
    (hit,) = answer.json()["hits"]
    assert (hit["text"], hit["score"], hit["gap_s"]) == ("passage number 1", 1.0, 60.0)
    assert (hit["source"], hit["locator"]["at"]) == ("chat message event-1 (customer)", "chat")
    assert (hit["tenant"], hit["event_source"], hit["memo_hit"]) == ("default", "test", False)
    assert (hit["derived_at"], hit["logged_at"]) == ("2026-03-05T12:00:01Z", "2026-03-05T12:00:01Z")
    assert (hit["event_time"], hit["indexed_at"]) == ("2026-03-05T12:00:00Z", "2026-03-05T12:01:00Z")


async def test_every_filter_is_one_of_the_request(http):
    both, first, second = ["passage number 1", "passage number 2"], ["passage number 1"], ["passage number 2"]
    assert await found(http) == await found(http, modalities=[], subject_id=None) == both
    assert await found(http, subject_id="zoe") == second
    assert await found(http, modalities=["chat"]) == first
    assert await found(http, modalities=["screenshot"]) == []
    assert await found(http, since="2026-03-05T12:01:00Z") == second
    assert await found(http, until="2026-03-05T13:01:00+01:00") == first
    assert len(await found(http, k=1)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "q" * 2001}, "query"),
        ({"query": "q", "k": 0}, "k"),
        ({"query": "q", "k": 101}, "k"),
        ({"query": "q", "modalities": ["video"]}, "modalities.0"),
        ({"query": "q", "modalities": ["chat"] * 4}, "modalities"),
        ({"query": "q", "since": "2026-03-05T12:00:00"}, "since"),
        ({"query": "q", "until": "yesterday"}, "until"),
        ({"query": "q", "subject_id": "a\x00b"}, "subject_id"),
        ({"query": "q", "subjekt": "ann"}, "subjekt"),
        ([], "body"),
    ],
)
async def test_a_wrong_field_is_named(http, body, field):
    problem_ = problem(await http.post("/v1/search", json=body), 422, "invalid")
    assert [error["field"] for error in problem_["errors"]] == [field]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"query": "\\ud800"}', b"null"])
async def test_what_is_no_json_of_a_question_is_422(http, body):
    answer = await http.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    problem(answer, 422, "invalid")


async def test_what_was_asked_is_never_repeated_in_a_refusal(http):
    answer = await http.post("/v1/search", json={"query": SECRET, "k": SECRET, SECRET: 1})
    problem(answer, 422, "invalid")
    assert "4111" not in answer.text


async def test_another_media_type_is_415(http):
    problem(
        await http.post("/v1/search", content=b"{}", headers={"Content-Type": "text/plain"}), 415, "unsupported-media"
    )


async def test_a_body_of_the_limit_is_read_and_a_larger_one_is_refused_before_it_is(http):
    def padded(size):
        return json.dumps({"query": "x"}).encode().ljust(size)

    async def pieces(count):
        for _ in range(count):
            sent.append(len(sent))
            yield bytes(1024)

    json_type = {"Content-Type": "application/json"}
    assert (await http.post("/v1/search", content=padded(MAX_BODY_BYTES), headers=json_type)).status_code == 200
    answer = await http.post("/v1/search", content=padded(MAX_BODY_BYTES + 1), headers=json_type)
    assert str(MAX_BODY_BYTES) in problem(answer, 413, "too-large")["detail"]
    sent: list[int] = []
    problem(await http.post("/v1/search", content=pieces(100_000), headers=json_type), 413, "too-large")
    assert len(sent) <= MAX_BODY_BYTES // 1024 + 2, "the rest is left unread"


async def test_the_longest_question_fits_however_it_is_escaped(http):
    body = json.dumps({"query": "\N{GRINNING FACE}" * 2000, "subject_id": "\N{GRINNING FACE}" * 200, "k": 100})
    answer = await http.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


async def test_an_index_that_is_away_is_503_and_named_without_its_address(http, index):
    index.failure = Unavailable("nobody at secret-host:8000")
    answer = await http.post("/v1/search", json={"query": "x"})
    detail = problem(answer, 503, "unavailable")["detail"]
    assert "index" in detail
    assert "events" not in detail, "nothing that was sent is at risk"
    assert float(answer.headers["retry-after"]) > 0
    assert "secret-host" not in answer.text
    index.failure = None
    assert await found(http, k=1)


async def test_a_misconfigured_index_is_500_without_the_reason(http, index):
    index.failure = Misconfigured("mend MMPLATFORM_CHROMA_TOKEN for secret-host")
    answer = await http.post("/v1/search", json={"query": "x"})
    problem(answer, 500, "permanent")
    assert "secret-host" not in answer.text


async def test_a_slow_search_holds_nobody_else_up(http, index):
    index.held = threading.Event()
    slow = asyncio.create_task(http.post("/v1/search", json={"query": "x"}))
    try:
        assert (await asyncio.wait_for(http.get("/other"), 20)).status_code == 200
        assert not slow.done()
    finally:
        index.held.set()
    assert (await slow).status_code == 200


async def test_the_question_and_the_answer_are_described(http):
    described = (await http.get("/openapi.json")).json()
    operation = described["paths"]["/v1/search"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {
        "query", "subject_id", "modalities", "since", "until", "k", "after", "min_fresh", "max_wait_ms"
    }  # fmt: skip
    answered = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
    assert set(described["components"]["schemas"][answered]["properties"]) == {
        "hits",
        "searched_at",
        "took_ms",
        "coverage",
        "receipt",
        "fence",
    }
