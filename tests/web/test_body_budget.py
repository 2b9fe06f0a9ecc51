"""Budget of in-flight request bodies over all requests."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from starlette.requests import Request

from mmplatform.errors import Busy
from mmplatform.web.bodies import read_upload
from mmplatform.web.body_budget import BodyBudget
from tests.ingest.gateways import (
    CHUNK_FIELDS,
    FORM_HEAD,
    SCREENSHOT_FIELDS,
    assert_problem,
    chat_body,
    memory_gateway,
    picture,
    wav,
)

MAX_BYTES = 100_000
PNG = {"Content-Type": "image/png"}


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(tmp_path, max_inflight_body_bytes=MAX_BYTES) as gateway:
        yield gateway


class Slow:
    """A body whose second half waits for the event ``go``."""

    def __init__(self, data):
        self.data = data
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def __aiter__(self):
        half = len(self.data) // 2
        yield self.data[:half]
        self.begun.set()
        await self.go.wait()
        yield self.data[half:]


async def drive(gateway, body, path="/v1/events/screenshot", content_type=b"image/png", headers=()):
    """Drive the application by hand, piece by piece: httpx's transport would read the whole body first."""
    pieces, sent = aiter(body), []

    async def receive():
        piece = await anext(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"conversation_id=c&subject_id=s", "root_path": "",
        "scheme": "http", "headers": [(b"content-type", content_type), *headers],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    await gateway.transport.app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


def noise(size, seed):
    """A picture of about so many bytes."""
    side = round((size / 3) ** 0.5)
    return picture(size=(side, side), seed=seed)


async def test_over_the_budget_sources_are_throttled_and_nothing_is_lost(gateway):
    bodies = [Slow(noise(60_000, seed)) for seed in range(3)]
    first = asyncio.create_task(drive(gateway, bodies[0]))
    second = asyncio.create_task(drive(gateway, bodies[1]))
    await asyncio.gather(bodies[0].begun.wait(), bodies[1].begun.wait())
    assert 55_000 < gateway.deps.budget.reserved_bytes < MAX_BYTES
    bodies[0].go.set()
    assert (await first)[0] == 202
    third = asyncio.create_task(drive(gateway, bodies[2]))
    await bodies[2].begun.wait()
    bodies[2].go.set()
    bodies[1].go.set()
    answers = [(await second), (await third)]
    assert sorted(status for status, _ in answers) in ([202, 202], [202, 429])
    assert all(int(headers[b"retry-after"]) >= 1 for status, headers in answers if status == 429)
    assert gateway.deps.budget.reserved_bytes == 0
    again = [Slow(body.data) for body in bodies]
    for body in again:
        body.go.set()
        assert (await drive(gateway, body))[0] == 202


async def test_a_body_over_the_budget_is_refused_before_it_is_read(gateway):
    waiting = Slow(noise(60_000, 1))
    task = asyncio.create_task(drive(gateway, waiting))
    await waiting.begun.wait()
    data = noise(95_000, 2)
    length = [(b"content-length", str(len(data)).encode())]
    unread = Slow(data)
    status, headers = await drive(gateway, unread, headers=length)
    assert (status, headers[b"retry-after"], unread.begun.is_set()) == (429, b"1", False)
    page = (await gateway.http.get("/metrics")).text
    assert 'mmplatform_gateway_throttled_requests_total{modality="screenshot"} 1.0' in page
    assert f"mmplatform_gateway_inflight_body_bytes {float(gateway.deps.budget.reserved_bytes)}" in page
    waiting.go.set()
    assert (await task)[0] == 202


@pytest.mark.parametrize("path", ["/v1/calls/c/chunks", "/v1/events/chat", "/v1/events/screenshot"])
async def test_every_endpoint_with_a_large_body_keeps_to_the_budget(gateway, path):
    form = path.endswith("screenshot")
    kinds = {"/v1/calls/c/chunks": b"audio/wav", "/v1/events/chat": b"application/json"}
    waiting = Slow(noise(180_000, 1))
    task = asyncio.create_task(drive(gateway, waiting))
    await waiting.begun.wait()
    body = Slow((FORM_HEAD if form else b"") + b"x" * 120_000)
    body.go.set()
    content_type = kinds.get(path, b"multipart/form-data; boundary=b")
    assert (await drive(gateway, body, path, content_type))[0] == 429
    waiting.go.set()
    assert (await task)[0] == 202
    assert gateway.deps.budget.reserved_bytes == 0


async def test_a_body_larger_than_the_budget_is_accepted_when_it_is_alone(gateway):
    data = noise(150_000, 1)
    assert len(data) > MAX_BYTES
    assert (
        await gateway.http.post("/v1/events/screenshot", content=data, params=SCREENSHOT_FIELDS, headers=PNG)
    ).status_code == 202


async def test_bytes_count_until_they_are_written_also_after_a_disconnect(gateway):
    gateway.log.pending_acks = []
    params = CHUNK_FIELDS | {"event_id": "e"}
    data = wav(seconds=1.0)
    post = gateway.http.post("/v1/calls/c/chunks", content=data, params=params, headers={"Content-Type": "audio/wav"})
    request_task = asyncio.create_task(post)
    await asyncio.to_thread(gateway.log.sent.wait, 10)
    request_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request_task
    assert gateway.deps.budget.reserved_bytes == len(data)
    gateway.log.release()
    await gateway.deps.idempotency.drain()
    await asyncio.sleep(0)
    assert gateway.deps.budget.reserved_bytes == 0


async def test_a_refused_request_leaves_no_reserved_bytes(gateway):
    await gateway.http.post("/v1/events/screenshot", content=b"no image", params=SCREENSHOT_FIELDS, headers=PNG)
    await gateway.http.post("/v1/events/chat", json=chat_body(role="nobody"))
    await gateway.http.post("/v1/events/chat", json=chat_body())
    assert_problem(await gateway.http.post("/v1/events/chat", json=chat_body(text="other")), 409)
    assert gateway.deps.budget.reserved_bytes == 0


def test_a_budget_counts_each_user_once():
    budget = BodyBudget(10)
    with budget.reserve() as mine:
        mine.add(12)  # alone
        with mine:
            mine.add(1)
            with budget.reserve() as other, pytest.raises(Busy):
                other.add(1)
        assert budget.reserved_bytes == 13
    with mine:  # a write that starts after its caller has disconnected
        assert budget.reserved_bytes == 13
    assert budget.reserved_bytes == 0


async def test_an_upload_is_in_memory_once():
    size, piece = 20_000_000, 65_536
    left = size

    async def receive():
        nonlocal left
        taken = min(piece, left)
        left -= taken
        return {"type": "http.request", "body": bytes(taken), "more_body": left > 0}

    request = Request({"type": "http", "method": "POST", "headers": [(b"content-type", b"image/png")]}, receive)
    tracemalloc.start()
    try:
        upload = await read_upload(request, {"image/png": "image/png"}, size)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(upload.data) == size
    assert peak < 1.4 * size
