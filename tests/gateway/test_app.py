"""The composed gateway: health, metrics, a broker that stops and restarts, and a process that drains on a signal."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading

import httpx
import pytest
from fastapi import APIRouter

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.events import decode_event
from mmplatform.gateway.app import INITIAL_OBSTACLES, GatewayParts, ReadinessChecker, create_app, open_parts, serve
from mmplatform.kafka.reader import ReplayLog
from mmplatform.settings import load
from mmplatform.telemetry.readiness import Readiness
from tests.ingest.gateways import chat_body, memory_gateway, memory_parts, picture
from tests.servers.broker import FOREIGN, embedded_broker
from tests.servers.process import answers, free_ports, running

embedded_only = pytest.mark.skipif(bool(FOREIGN), reason="stops and starts its broker, so it needs the embedded one")


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(tmp_path) as gateway:
        yield gateway


async def until(check, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - a process elsewhere has no event to wait for
            await asyncio.sleep(0.05)


def ready_status(http, status):
    async def check():
        return (await http.get("/readyz")).status_code == status

    return check


async def test_a_gateway_is_healthy_at_once_and_ready_when_it_has_observed_the_lag(gateway):
    assert (await gateway.http.get("/healthz")).text == "ok"
    await until(ready_status(gateway.http, 200))
    ready = (await gateway.http.get("/readyz")).json()
    assert ready == {"ready": True, "checks": {"broker": "ok", "blobs": "ok", "lag": "ok"}}


async def test_a_gateway_without_its_broker_is_not_ready_and_names_no_address(gateway):
    await until(ready_status(gateway.http, 200))
    gateway.log.failure = Unavailable("nobody at secret-host:9092")
    answer = await gateway.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["broker"] == "unavailable"
    assert "secret-host" not in answer.text
    assert (await gateway.http.get("/healthz")).status_code == 200


async def test_metrics_count_by_route_template_and_never_by_path(gateway):
    await gateway.http.post("/v1/events/chat", json=chat_body())
    await gateway.http.post("/v1/events/chat", json=chat_body())
    await gateway.http.post("/v1/events/chat", json=chat_body(text="other"))
    await gateway.http.post("/v1/calls/secret-call/end", json={"subject_id": "s"})
    await gateway.http.get("/secret-path")
    params = {"conversation_id": "c", "subject_id": "s"}
    image = picture()
    await gateway.http.post(
        "/v1/events/screenshot", content=image, params=params, headers={"Content-Type": "image/png"}
    )
    gateway.deps.gates["chat"].observe(10**9)
    await gateway.http.post("/v1/events/chat", json=chat_body())
    page = await gateway.http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    lines = set(page.text.splitlines())
    expected = {
        'mmplatform_gateway_requests_total{route="/v1/events/chat",status="202"} 2.0',
        'mmplatform_gateway_requests_total{route="/v1/events/chat",status="409"} 1.0',
        'mmplatform_gateway_requests_total{route="/v1/events/chat",status="429"} 1.0',
        'mmplatform_gateway_requests_total{route="/v1/calls/{call_id}/end",status="202"} 1.0',
        'mmplatform_gateway_requests_total{route="unmatched",status="404"} 1.0',
        'mmplatform_gateway_events_total{modality="chat",outcome="accepted"} 1.0',
        'mmplatform_gateway_events_total{modality="chat",outcome="duplicate"} 1.0',
        'mmplatform_gateway_bytes_total{modality="chat"} 5.0',
        f'mmplatform_gateway_bytes_total{{modality="screenshot"}} {float(len(image))}',
        'mmplatform_gateway_throttled_requests_total{modality="chat"} 1.0',
        'mmplatform_gateway_lag{modality="chat"} 1e+09',
        'mmplatform_gateway_request_seconds_count{route="/v1/events/chat"} 4.0',
    }
    assert expected <= lines
    assert "secret" not in page.text


async def test_what_a_source_can_send_is_described(gateway):
    described = (await gateway.http.get("/openapi.json")).json()
    chat = described["paths"]["/v1/events/chat"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"conversation_id", "role", "text"} <= set(chat["anyOf"][0]["properties"])
    chunk = described["paths"]["/v1/calls/{call_id}/chunks"]["post"]
    assert {"audio/wav", "audio/flac", "multipart/form-data"} <= set(chunk["requestBody"]["content"])
    assert {"index", "start_s", "subject_id"} <= {parameter["name"] for parameter in chunk["parameters"]}


async def test_routers_of_other_packages_have_the_same_errors(tmp_path):
    router = APIRouter()

    @router.get("/v1/other")
    def other(number: int) -> int:
        return number

    parts, _ = memory_parts(tmp_path)
    app = create_app(parts.ingest.settings, parts, routers=[router])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://g") as http:
        assert (await http.get("/v1/other?number=4")).json() == 4
        answer = await http.get("/v1/other?number=4111-1111")
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"][0]["field"] == "query.number"
        assert "4111" not in answer.text


async def test_shutdown_answers_open_requests_before_the_log_is_closed(tmp_path):
    closed_with = []
    parts, log = memory_parts(tmp_path)
    parts = type(parts)(
        parts.ingest,
        parts.log_reader,
        parts.create_topics,
        close=lambda: closed_with.append(len(list(log.read("interactions.chat")))),
    )
    app = create_app(parts.ingest.settings, parts)
    log.pending_acks = []
    async with app.router.lifespan_context(app):
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://g")
        request_task = asyncio.create_task(http.post("/v1/events/chat", json=chat_body()))
        await asyncio.to_thread(log.sent.wait, 10)
        request_task.cancel()
        asyncio.get_running_loop().call_later(0.2, log.release)
    assert closed_with == [1]
    assert log.pending_acks is None
    await http.aclose()


async def test_on_a_shared_port_it_does_not_start_before_it_has_observed_the_lag(tmp_path):
    parts, _ = memory_parts(tmp_path, gateway_reuse_port=True)
    prepared = threading.Event()
    parts = GatewayParts(parts.ingest, parts.log_reader, lambda: prepared.wait(20), parts.close)
    app = create_app(parts.ingest.settings, parts)
    asyncio.get_running_loop().call_later(0.3, prepared.set)
    async with app.router.lifespan_context(app):
        assert all(gate.lag is not None for gate in parts.ingest.gates.values())


async def test_the_workers_page_is_not_ready_before_the_first_check(tmp_path):
    parts, _ = memory_parts(tmp_path)
    parts = GatewayParts(parts.ingest, parts.log_reader, parts.create_topics, parts.close, Readiness(INITIAL_OBSTACLES))
    for gate in parts.ingest.gates.values():
        gate.observe(3)
    assert set(parts.readiness.reasons()) == set(INITIAL_OBSTACLES)
    assert set((await ReadinessChecker(parts).check()).values()) == {"ok"}
    assert set(parts.readiness.reasons()) == {"gateway"}, "it listens when its server does"


async def test_a_blocked_event_loop_is_reported_as_hanging(tmp_path, monkeypatch):
    monkeypatch.setattr("mmplatform.gateway.app._READINESS_INTERVAL_S", 0.01)
    clock = [0.0]
    parts, _ = memory_parts(tmp_path)
    readiness = Readiness({}, clock=lambda: clock[0])
    parts = GatewayParts(parts.ingest, parts.log_reader, parts.create_topics, parts.close, readiness)

    async def beats():
        return not readiness.hang_reason()

    async with create_app(parts.ingest.settings, parts).router.lifespan_context(None):
        await asyncio.sleep(0.05)
        assert readiness.hang_reason() == ""
        clock[0] += 31.0  # and the loop is blocked meanwhile: nothing is awaited here
        assert readiness.hang_reason() == "takes up nothing (for 31 s)"
        await until(beats)
    clock[0] += 1000.0
    assert readiness.hang_reason() == "", "while it drains nothing is expected of it"


async def test_its_tasks_survive_unexpected_errors_and_the_log_is_still_closed(tmp_path):
    parts, _ = memory_parts(tmp_path)
    prepared, checked, closed = [], [], []

    def create_topics():
        prepared.append(1)
        if len(prepared) == 1:
            raise RuntimeError("SECRET")

    def check_reachable():
        checked.append(1)
        if len(checked) == 1:
            raise RuntimeError("SECRET")

    parts.log_reader.check_reachable = check_reachable
    parts = GatewayParts(parts.ingest, parts.log_reader, create_topics, close=lambda: closed.append(1))
    app = create_app(parts.ingest.settings, parts)
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://g") as http:
        await until(ready_status(http, 200))
    assert len(prepared) == 2
    assert closed == [1]


def test_the_real_parts_close_the_producer_and_the_reader(tmp_path, monkeypatch):
    closed = []

    def fail(_):
        closed.append("producer")
        raise RuntimeError

    monkeypatch.setattr("mmplatform.gateway.app.LogProducer.close", fail)
    monkeypatch.setattr("mmplatform.gateway.app.ReplayLog.close", lambda _: closed.append("reader"))
    parts = open_parts(load(data_dir=tmp_path, kafka_bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(RuntimeError):
        parts.close()
    assert closed == ["producer", "reader"]


async def test_a_hanging_blob_store_is_reported_soon_and_occupies_one_thread(tmp_path, monkeypatch):
    monkeypatch.setattr("mmplatform.gateway.app._PROBE_TIMEOUT_S", 0.05)
    parts, _ = memory_parts(tmp_path)
    probes, back = [], threading.Event()

    def exists(_):
        probes.append(1)
        return back.wait(20)

    monkeypatch.setattr(parts.ingest.blobs, "exists", exists)
    checker = ReadinessChecker(parts)
    try:
        found = [(await asyncio.wait_for(checker.check(), 10))["blobs"] for _ in range(3)]
        assert found == ["does not answer"] * 3
        assert len(probes) == 1
        assert "blobs" in parts.readiness.reasons()
    finally:
        back.set()

    async def answers_again():
        return (await checker.check())["blobs"] == "ok"

    await until(answers_again)
    assert "blobs" not in parts.readiness.reasons()


def test_a_missing_broker_address_fails_before_the_gateway_listens(tmp_path):
    with pytest.raises(Misconfigured, match="MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS"):
        serve(load(kafka_bootstrap_servers="", gateway_port=0, data_dir=tmp_path))


def test_a_port_in_use_is_reported_with_the_fix(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"{port}.*MMPLATFORM_GATEWAY"):
            serve(load(kafka_bootstrap_servers="127.0.0.1:1", gateway_port=port, data_dir=tmp_path))


@pytest.mark.broker
@embedded_only
async def test_a_stopped_broker_is_503_and_a_restarted_one_is_202(tmp_path):
    port = free_ports(1)[0]
    settings = load(kafka_bootstrap_servers=f"127.0.0.1:{port}", data_dir=tmp_path / "data", topic_prefix="eu.")
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://g", timeout=30) as http,
    ):
        assert (await http.get("/readyz")).status_code == 503
        with embedded_broker(tmp_path / "broker", port):
            await until(ready_status(http, 200))
            first = await http.post("/v1/events/chat", json=chat_body())
            assert first.status_code == 202
            assert first.json()["position"]["topic"] == "interactions.chat"
        away = await http.post("/v1/events/chat", json=chat_body(event_id="e2"))
        assert away.status_code == 503
        assert away.headers["retry-after"]
        with embedded_broker(tmp_path / "broker", port):
            await until(ready_status(http, 200))
            assert (await http.post("/v1/events/chat", json=chat_body())).json() == first.json() | {"duplicate": True}
            back = await http.post("/v1/events/chat", json=chat_body(event_id="e2"))
            assert back.status_code == 202
            assert not back.json()["duplicate"]
            entries = list(ReplayLog(settings).read("eu.interactions.chat"))
            on_log = [decode_event(entry.value) for entry in entries]
            assert on_log[0].event_id == "e1"
            assert {event.event_id for event in on_log} == {"e1", "e2"}
            assert [entry.headers["event"].decode() for entry in entries] == [event.uid for event in on_log]


STUMBLING = """
import sys
from pathlib import Path
import uvicorn
from fastapi import APIRouter
from starlette.responses import StreamingResponse
from mmplatform.gateway.app import create_app
from mmplatform.settings import load
from mmplatform.telemetry.logs import configure_logging
from tests.ingest.gateways import memory_parts

configure_logging(load(), worker="gateway")
parts, log = memory_parts(Path(sys.argv[1]))

def explode(*_args, **_kwargs):
    raise RuntimeError("SECRET 4111 1111")

log.send = explode
router = APIRouter()

@router.get("/half")
async def half():
    async def pieces():
        yield b"half"
        explode()
    return StreamingResponse(pieces())

app = create_app(parts.ingest.settings, parts, routers=[router])
uvicorn.run(app, port=int(sys.argv[2]), log_config=None)
"""


def test_an_unexpected_error_is_answered_and_logged_without_its_message_by_a_real_server(tmp_path):
    port, log = free_ports(1)[0], tmp_path / "gateway.log"
    command = [sys.executable, "-c", STUMBLING, str(tmp_path / "data"), str(port)]
    with running(command, log=log, ready=answers(port, "/healthz")):
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/events/chat", json=chat_body(), timeout=20)
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{port}/half", timeout=20)
        again = httpx.post(f"http://127.0.0.1:{port}/v1/events/chat", json=chat_body(), timeout=20)
        assert again.status_code == 500
        counted = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20).text
    text = log.read_text()
    assert "SECRET" not in text + answer.text + counted
    assert text.count("unexpected_error") == 3
    assert "RuntimeError" in text
    assert " explode" in text
    assert 'mmplatform_gateway_requests_total{route="/v1/events/chat",status="500"} 2.0' in counted


SERVE = (
    "from mmplatform.gateway.app import serve; from mmplatform.settings import load; serve(load()); print('drained')"
)


@pytest.mark.broker
@pytest.mark.models  # search joins the process, with its embedder
@embedded_only
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_process_drains_and_ends_with_zero(tmp_path, number):
    port = free_ports(1)[0]
    with embedded_broker(tmp_path / "broker") as address:
        env = {
            "MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS": address,
            "MMPLATFORM_GATEWAY_PORT": str(port),
            "MMPLATFORM_DATA_DIR": str(tmp_path / "data"),
        }
        log = tmp_path / "gateway.log"
        with running([sys.executable, "-c", SERVE], log=log, ready=answers(port, "/healthz"), env=env) as process:
            url = f"http://127.0.0.1:{port}"
            assert httpx.post(f"{url}/v1/events/chat", json=chat_body(), timeout=20).status_code == 202
            large = httpx.post(
                f"{url}/v1/calls/c/chunks?index=0&start_s=0&subject_id=s",
                content=bytes(9_000_000),
                headers={"Content-Type": "audio/wav"},
                timeout=20,
            )
            assert large.status_code == 413
            process.send_signal(number)
            try:
                assert process.wait(20) == 0
            except subprocess.TimeoutExpired:
                pytest.fail(f"it did not end:\n{log.read_text()}")
        assert "drained" in log.read_text()
