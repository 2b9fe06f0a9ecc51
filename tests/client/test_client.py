from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from mmplatform.client import ChatBody
from mmplatform.client import client as client_module
from mmplatform.client.client import AsyncGatewayClient, GatewayClient
from mmplatform.errors import Busy, Conflict, Permanent, Rejected, TooLarge, Unavailable, UnsupportedMedia
from tests.ingest.gateways import memory_gateway, picture, wav

POSITION = {"topic": "t", "topic_partition": 0, "offset": 0, "generation": 0}
ACCEPTED = {"event_id": "e1", "position": POSITION, "duplicate": False, "shed": False, "token": "v1.e30.c2lnbg"}
CHAT = {"conversation_id": "c", "subject_id": "s", "role": "customer", "text": "hello"}


class Scripted:
    """Returns the responses in turn, the last one for ever; raises exceptions. Records the requests."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append((request.url, request.read()))
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)  # one is read once


def problem(status, detail="why", **headers):
    return httpx.Response(status, json={"detail": detail}, headers=headers)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client_module, "_BACKOFF", lambda _: 0.001)
    monkeypatch.setattr(client_module, "_JITTER", lambda _: 0.0)


def send(script, **options):
    waits = []
    with GatewayClient(
        "http://g",
        transport=httpx.MockTransport(script),
        on_retry=lambda error, seconds: waits.append((type(error), seconds)),
        **options,
    ) as client:
        return client.chat(**CHAT), waits


async def send_async(script, **options):
    waits = []
    async with AsyncGatewayClient(
        "http://g",
        transport=httpx.MockTransport(script),
        on_retry=lambda error, seconds: waits.append((type(error), seconds)),
        **options,
    ) as client:
        return await client.chat(**CHAT), waits


@pytest.fixture(params=["plain", "async"])
def chat(request):
    if request.param == "plain":
        return send
    return lambda script, **options: asyncio.run(send_async(script, **options))


def test_an_acceptance_has_the_events_position(chat):
    accepted, waits = chat(Scripted(httpx.Response(202, json=ACCEPTED)))
    assert accepted.model_dump() == ACCEPTED
    assert waits == []


def test_lost_connections_and_503_are_retried_with_the_identical_request(chat):
    script = Scripted(httpx.ConnectError("x"), httpx.ReadTimeout("x"), problem(503), httpx.Response(202, json=ACCEPTED))
    _, waits = chat(script)
    assert [kind for kind, _ in waits] == [Unavailable] * 3
    assert len(script.requests) == 4
    assert len(set(script.requests)) == 1
    assert json.loads(script.requests[0][1])["event_id"]


def test_a_busy_gateway_is_not_retried_before_its_retry_after(chat):
    script = Scripted(problem(429, **{"Retry-After": "0.02"}), httpx.Response(202, json=ACCEPTED))
    _, waits = chat(script)
    assert waits == [(Busy, 0.02)]


@pytest.mark.parametrize(
    ("answer", "error"), [(problem(429, **{"Retry-After": "0"}), Busy), (problem(503), Unavailable)]
)
def test_retries_end(chat, answer, error):
    script = Scripted(answer)
    with pytest.raises(error, match="why"):
        chat(script, max_attempts=3)
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    ("status", "error"),
    [(409, Conflict), (413, TooLarge), (415, UnsupportedMedia), (422, Rejected), (404, Rejected), (500, Permanent)],
)
def test_a_refusal_is_final_and_keeps_its_reason(chat, status, error):
    script = Scripted(problem(status))
    with pytest.raises(error, match=f"{status}: why") as caught:
        chat(script)
    assert type(caught.value) is error
    assert len(script.requests) == 1


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(200, json={"hello": 1})])
def test_a_server_that_is_no_gateway_is_reported(chat, answer):
    with pytest.raises(Permanent, match="no gateway"):
        chat(Scripted(answer))


def test_a_busy_gateway_reports_its_backlog():
    body = {"detail": "behind", "lag": 31, "oldest_s": 2.5, "low_water": "many", "other": 1}
    busy = httpx.Response(429, headers={"Retry-After": "0"}, json=body)
    with pytest.raises(Busy) as caught:
        client_module._parse_response(busy)
    assert caught.value.hint == {"lag": 31, "oldest_s": 2.5}


def test_a_retry_date_is_waited_for_like_an_unknown_time():
    assert client_module._retry_after(problem(429, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})) == 5.0
    assert client_module._retry_after(problem(429)) == 5.0


async def test_every_request_of_a_client_is_accepted_by_the_gateway(tmp_path):
    async with (
        memory_gateway(tmp_path) as gateway,
        AsyncGatewayClient("http://gateway", transport=gateway.transport) as client,
    ):
        await client.chat(**CHAT, event_id="e1", source="crm")
        bodies = [ChatBody(**CHAT), ChatBody(**CHAT, event_id="e3")]
        assert [answer.duplicate for answer in await client.chats(bodies)] == [False, False]
        await client.screenshot(picture(), "image/png", conversation_id="c", subject_id="s")
        # An id with every kind of character that a path or a query would take apart.
        call_id, speakers = "звонок 1?&=#%+", ("agent", "customer")
        data = wav(channels=2)
        await client.chunk(call_id, data, "audio/wav", index=0, start_s=1e-05, subject_id="s&t", speakers=speakers)
        await client.end_call(call_id, subject_id="s&t", chunks=1)
        assert len(gateway.events("chat")) == 3
        assert len(gateway.events("screenshot")) == 1
        chunk, end = gateway.events("call")
        assert (chunk.call_id, chunk.subject_id, chunk.speakers, chunk.start_s) == (call_id, "s&t", speakers, 1e-05)
        assert (end.event_id, end.chunks) == (f"{call_id}:end", 1)
        assert all(event.event_time <= event.ingested_at for event in gateway.events("chat"))
