"""No socket of the platform waits for a delayed acknowledgement: Nagle's algorithm is off on both of its ends."""

from __future__ import annotations

import asyncio
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from mmplatform.kafka.connection import COMMON_CLIENT_CONFIG
from mmplatform.local.broker.node import Node
from mmplatform.local.broker.options import BrokerOptions
from mmplatform.local.broker.server import Connection, listen
from mmplatform.local.services.probes import local_client
from mmplatform.telemetry.status_server import WorkerStatus, serve_status
from tests.waiting import eventually


def is_without_delay(connected: socket.socket) -> bool:
    return connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.fixture
def empty_server():
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


async def test_the_broker_sends_at_once(tmp_path):
    node = Node(BrokerOptions(data=tmp_path, host="127.0.0.1", port=0))
    connections: set[Connection] = set()
    server = await listen(node, connections)
    _, writer = await asyncio.open_connection("127.0.0.1", node.port)
    async with asyncio.timeout(60):
        while not connections:  # noqa: ASYNC110 - the server's side has no event
            await asyncio.sleep(0.01)
    [accepted] = connections
    assert is_without_delay(accepted._transport.get_extra_info("socket"))
    writer.close()
    server.close()


def test_kafka_clients_send_at_once():
    assert COMMON_CLIENT_CONFIG["socket.nagle.disable"] is True


def test_the_library_of_our_http_clients_sends_at_once(empty_server):
    with httpx.Client(trust_env=False) as client:
        stream = client.get(empty_server).extensions["network_stream"]
        assert is_without_delay(stream.get_extra_info("socket"))


async def test_the_probes_of_the_supervisor_send_at_once(empty_server):
    async with local_client() as client, client.stream("GET", empty_server) as answer:
        assert is_without_delay(answer.extensions["network_stream"].get_extra_info("socket"))


def test_a_status_page_sends_its_two_writes_at_once(monkeypatch):
    accepted: list[bool] = []
    status = WorkerStatus("one")
    server = serve_status(status, 0)
    finish = server.RequestHandlerClass.finish

    def record(handler) -> None:
        accepted.append(is_without_delay(handler.connection))
        finish(handler)

    monkeypatch.setattr(server.RequestHandlerClass, "finish", record)
    httpx.get(f"http://127.0.0.1:{server.server_port}/healthz", trust_env=False)
    eventually(lambda: accepted)
    server.shutdown()
    server.server_close()
    assert accepted == [True]
