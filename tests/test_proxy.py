"""A proxy in the environment is for other machines, never for the stack's own addresses."""

from __future__ import annotations

import json

import pytest

from mmplatform.client.client import AsyncGatewayClient, GatewayClient
from mmplatform.errors import Unavailable
from mmplatform.proxy import loopback_mounts
from mmplatform.terminal.stack_client import request
from tests.servers.proxy import answering

POSITION = {"topic": "t", "topic_partition": 0, "offset": 0}
ACCEPTED = {"event_id": "e1", "position": POSITION, "duplicate": False}
CHAT = {"conversation_id": "c", "subject_id": "s", "role": "customer", "text": "hello"}
ELSEWHERE = "http://platform.invalid"


@pytest.fixture
def gateway():
    with answering(json.dumps(ACCEPTED).encode()) as found:
        yield found


@pytest.fixture(params=["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def proxy(request, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with answering(json.dumps(ACCEPTED | {"event_id": "by proxy"}).encode()) as found:
        monkeypatch.setenv(request.param, found.url)
        yield found


def post(url):
    with GatewayClient(url, max_attempts=1) as client:
        return client.chat(**CHAT).event_id


async def post_async(url):
    async with AsyncGatewayClient(url, max_attempts=1) as client:
        await client.check_reachable()
        return (await client.chat(**CHAT)).event_id


async def test_loopback_is_called_directly_and_another_host_through_the_proxy(gateway, proxy):
    here = gateway.url
    assert [request("GET", here)["event_id"], post(here), await post_async(here)] == ["e1"] * 3
    assert post(here.replace("127.0.0.1", "localhost")) == "e1"
    assert proxy.requests == []
    assert [request("GET", ELSEWHERE)["event_id"], post(ELSEWHERE), await post_async(ELSEWHERE)] == ["by proxy"] * 3
    assert all(target.startswith(ELSEWHERE) for target in proxy.requests)
    assert len(gateway.requests) == 5


def test_an_unavailable_proxy_does_not_affect_loopback(gateway, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert request("GET", gateway.url)["event_id"] == "e1"
    with pytest.raises(Unavailable):
        request("GET", ELSEWHERE)


@pytest.mark.parametrize(
    ("url", "mount"),
    [
        ("http://127.0.0.1:8080", "all://127.0.0.1"),
        ("http://127.3.2.1", "all://127.3.2.1"),
        ("http://LOCALHOST:1/x", "all://localhost"),
        ("http://gateway.localhost", "all://gateway.localhost"),
        ("https://[::1]:8080", "all://[::1]"),
        ("http://0.0.0.0:8080", "all://0.0.0.0"),
    ],
)
def test_every_form_of_a_loopback_address_is_recognised(url, mount):
    assert loopback_mounts(url) == {mount: None}


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:8080", "http://platform.example", "http://127.0.0.1.example", "http://[::1", ""]
)
def test_every_other_address_follows_the_environment(url):
    assert loopback_mounts(url) == {}
