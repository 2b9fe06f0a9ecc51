"""Measures answers of the gateway against the floor: an empty handler on the same server.

    python -m benchmarks.requests [--seconds 5] [--connections 1,20]

Runs against the running stack (``mmplatform up``). The floor is a process with the gateway's own listener and server
and a handler that answers two bytes; beside it stands an empty route of FastAPI, which is what the framework costs.
Connections are kept alive, each sends its next request when the last was answered (closed loop), and the client is
the same few lines for all paths, so that the ratio is the server's. An answer that waits for a delayed
acknowledgement in the kernel takes 40 ms and shows at once: ``/healthz`` must stay within 1.5 times the empty route
(exit code 1 otherwise).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from benchmarks.machine import describe
from mmplatform.events import utc_now
from mmplatform.gateway.listener import listen
from mmplatform.local import run_file
from mmplatform.settings import load
from quality.quantiles import quantiles

MAX_HEALTH_RATIO: Final = 1.5
FLOOR: Final = "floor: an empty handler"
EMPTY_ROUTE: Final = "an empty route of FastAPI"
_WARM_UP: Final = 50
_SUBJECT: Final = "requests-benchmark"

MakeRequest = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Path:
    """A request to measure, and the host and port that answer it."""

    name: str
    host: str
    port: int
    make: MakeRequest


def main() -> None:
    """Measure each path with each number of connections, and print the ratios."""
    arguments = _arguments()
    run = run_file.read_running(load().data_dir.absolute())
    if run is None:
        raise SystemExit("start the stack first: mmplatform up --detach --no-dagster")
    print(f"machine: {describe()}")
    print("| connections | request | p50 ms | p95 ms | p99 ms | requests/s | p50 over the floor |")
    print("|---|---|---|---|---|---|---|")
    worst = 0.0
    with _empty_server() as floor_port:
        for connections in arguments.connections:
            paths = [*_paths(run.gateway, floor_port), *_chroma_paths(run.chroma)]
            worst = max(worst, _print_rows(paths, connections, arguments.seconds))
    if worst > MAX_HEALTH_RATIO:
        raise SystemExit(f"/healthz takes {worst:.2f} times an empty route; the limit is {MAX_HEALTH_RATIO}")


def _print_rows(paths: list[Path], connections: int, seconds: float) -> float:
    medians: dict[str, float] = {}
    for path in paths:
        durations = asyncio.run(_measure(path, connections, seconds))
        p50, p95, p99 = quantiles(durations, (0.5, 0.95, 0.99))
        medians[path.name] = p50
        rate = len(durations) / seconds
        print(
            f"| {connections} | {path.name} | {p50 * 1000:.2f} | {p95 * 1000:.2f} | {p99 * 1000:.2f} "
            f"| {rate:.0f} | {p50 / medians[FLOOR]:.2f} |",
            flush=True,
        )
    return medians["GET /healthz"] / medians[EMPTY_ROUTE]


def _paths(gateway: str, floor_port: int) -> list[Path]:
    url = urlsplit(gateway)
    host, port = str(url.hostname), int(url.port or 80)
    nonce, numbers = secrets.token_hex(4), count()

    def chat() -> bytes:
        number = next(numbers)
        body = {
            "event_id": f"{nonce}-{number}",
            "conversation_id": f"{nonce}-{number % 50}",
            "subject_id": _SUBJECT,
            "role": "customer",
            "text": f"Is parcel {nonce} {number} on its way?",
            "event_time": utc_now().isoformat(),
        }
        return _request("POST", "/v1/events/chat", body)

    search = {"query": "where is my parcel", "k": 5}
    one_subject = _request("POST", "/v1/search", search | {"subject_id": _SUBJECT})
    all_subjects = _request("POST", "/v1/search", search)
    return [
        Path(FLOOR, "127.0.0.1", floor_port, lambda: _request("GET", "/")),
        Path(EMPTY_ROUTE, "127.0.0.1", floor_port, lambda: _request("GET", "/route")),
        Path("GET /healthz", host, port, lambda: _request("GET", "/healthz")),
        Path("POST /v1/events/chat", host, port, chat),
        Path("POST /v1/search, one subject", host, port, lambda: one_subject),
        Path("POST /v1/search, all subjects", host, port, lambda: all_subjects),
    ]


def _chroma_paths(chroma: str) -> list[Path]:
    """Chroma's own floor, which is part of each search; none where no address is known."""
    url = urlsplit(chroma)
    if not url.hostname:
        return []
    return [Path("Chroma's heartbeat", url.hostname, url.port or 80, lambda: _request("GET", "/api/v2/heartbeat"))]


def _request(method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    payload = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {len(payload)}\r\n"
    if payload:
        head += "Content-Type: application/json\r\n"
    return head.encode() + b"\r\n" + payload


async def _measure(path: Path, connections: int, seconds: float) -> list[float]:
    """Return the seconds of each answer."""
    durations: list[float] = []

    async def run_connection() -> None:
        reader, writer = await asyncio.open_connection(path.host, path.port)
        for _ in range(_WARM_UP):
            await _exchange(reader, writer, path.make())
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            durations.append(await _exchange(reader, writer, path.make()))
        writer.close()

    await asyncio.gather(*(run_connection() for _ in range(connections)))
    return durations


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    started = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status, *headers = head.decode("latin-1").split("\r\n")
    length = next(int(line.split(":")[1]) for line in headers if line.lower().startswith("content-length"))
    body = await reader.readexactly(length)
    seconds = time.perf_counter() - started
    if status.split()[1][0] != "2":
        raise SystemExit(f"{status}: {body.decode(errors='replace')[:300]}")
    return seconds


@contextmanager
def _empty_server() -> Iterator[int]:
    """Run the empty handler in a process of its own; yields its port."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve_empty, args=(sender,), daemon=True)
    process.start()
    try:
        yield int(receiver.recv())
    finally:
        process.kill()
        process.join()


def _serve_empty(ports: Any) -> None:
    framework = FastAPI()

    @framework.get("/route", response_class=PlainTextResponse)
    async def route() -> str:
        return "ok"

    async def empty(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/route":
            await framework(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    with listen("127.0.0.1", 0, reuse_port=False) as listener:
        ports.send(listener.getsockname()[1])
        config = uvicorn.Config(empty, log_config=None, access_log=False, server_header=False, lifespan="off")
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Answers of the gateway over an empty handler on the same server.")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds for each path and number of connections")
    parser.add_argument(
        "--connections",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[1, 20],
        help="default: 1,20",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
