"""The gateway: the one HTTP process, composed of its routers, its health and its metrics.

``/healthz`` says that the process answers, ``/readyz`` that it can take events (broker, blob store, lag known, not
draining), ``/readyz/search`` that it can answer questions, ``/metrics`` is for Prometheus. Stopping drains: no new
requests, the open ones are answered, the log is flushed.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse

from mmplatform import __version__
from mmplatform.errors import PlatformError
from mmplatform.events import BlobRef
from mmplatform.gateway.health import Look
from mmplatform.gateway.sockets import listen
from mmplatform.ingest.backpressure import LagReader, keep_watch, open_gates
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.ingest.endpoints import ingest_router
from mmplatform.ingest.metrics import RequestMetrics
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics
from mmplatform.settings import Settings
from mmplatform.telemetry.logs import without_words
from mmplatform.telemetry.readiness import DRAINING, Readiness
from mmplatform.web.body_budget import Budget
from mmplatform.web.problems import answer_problems

_ACK_S: Final = 8.0
_DRAIN_S: Final = 10
_PROBE_S: Final = 2.0
_RETRY_S: Final = 1.0
_LOOK_S: Final = 2.0
_KNOWN_S: Final = 5.0
_HANGS_S: Final = 30.0  # no request holds the loop for a second: what blocks is done in threads
LISTENS: Final = "gateway"
AT_FIRST: Final = {
    LISTENS: "does not listen yet",
    "broker": "has not been asked yet",
    "blobs": "have not been asked yet",
    "lag": "not known yet",
}
"""The obstacles of the worker's own page before anybody has looked."""

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NO_BLOB: Final = BlobRef(key="probe", sha256="0" * 64, size=0, media_type="application/octet-stream")

_log = structlog.get_logger(__name__)


class LogView(LagReader, Protocol):
    """The part of :class:`~mmplatform.kafka.reader.ReplayLog` that the gateway looks with."""

    def reachable(self) -> None:
        """Return when the broker answers. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What the gateway is composed of: ``prepare`` makes the topics, ``close`` flushes the log; both block.

    ``readiness`` is kept up to date for whoever asks the worker and not the gateway itself.
    """

    ingest: IngestDeps
    view: LogView
    prepare: Callable[[], object]
    close: Callable[[], None]
    readiness: Readiness = field(default_factory=lambda: Readiness({}))


def open_parts(settings: Settings, readiness: Readiness | None = None) -> GatewayParts:
    """The real parts. Nothing is contacted yet: a broker that is away is waited for. Raises Misconfigured."""
    from mmplatform.derive.media import audio, image
    from mmplatform.land.blobs.open import open_blobs

    view = ReplayLog(settings, timeout_s=_PROBE_S)
    blobs = open_blobs(settings)
    producer = LogProducer(settings, timeout_s=_ACK_S)
    deps = IngestDeps(
        settings=settings,
        log=producer,
        blobs=blobs,
        gates=open_gates(settings),
        budget=Budget(settings.max_held_bytes),
        probe_audio=audio.probe,
        probe_image=image.probe,
    )
    return GatewayParts(
        deps,
        view,
        prepare=lambda: ensure_topics(settings),
        close=producer.close,
        readiness=readiness or Readiness({}),
    )


def create_app(settings: Settings, parts: GatewayParts | None = None, *, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """The application; its lifespan closes the parts (the real ones when none are given). Raises Misconfigured."""
    composed = parts or open_parts(settings)
    judge = Judge(composed)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(_prepare_and_watch(composed)),
            asyncio.create_task(_keep_judging(judge, composed.readiness)),
        ]
        try:
            if settings.gateway_share_port:
                await _knows_the_lag(composed)
            yield
        finally:
            for task in tasks:
                task.cancel()
            composed.readiness.rests()
            await asyncio.gather(*tasks, return_exceptions=True)
            try:
                await composed.ingest.recent.drain()
            finally:  # whatever became of a write: what is in the producer's hands must leave them
                await asyncio.to_thread(composed.close)

    app = FastAPI(title="mmplatform", version=__version__, lifespan=lifespan)
    answer_problems(app)
    app.add_middleware(RequestMetrics, metrics=composed.ingest.metrics)
    app.include_router(ingest_router(composed.ingest))
    for router in routers:
        app.include_router(router)
    app.include_router(_health_router(composed, judge))
    return app


def serve(
    settings: Settings, *, on_ready: Callable[[], None] = lambda: None, readiness: Readiness | None = None
) -> None:
    """Answer on ``gateway_host:gateway_port`` until SIGTERM or SIGINT, then drain; ``on_ready`` once it listens.

    Raises:
        Unavailable: the port is in use.
        Misconfigured: the address is none of this machine's, or a setting of the broker or the blob store is wrong.
    """
    listening = listen(settings.gateway_host, settings.gateway_port, shared=settings.gateway_share_port)
    with listening:
        # The parts first: a wrong address is told before an embedder is loaded.
        parts = open_parts(settings, readiness)
        app = create_app(settings, parts, routers=_more_routers(settings))
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_DRAIN_S
        )
        host, port = listening.getsockname()[:2]
        _log.info("gateway_listens", host=host, port=port)
        asyncio.run(_Server(config, on_ready, parts.readiness).serve(sockets=[listening]))


def _more_routers(settings: Settings) -> list[APIRouter]:
    """Routers of the rooms above ingest: the public search, with the embedder that serves."""
    from mmplatform.land.index.embedder_registry import SpaceLog
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.pipeline.factories import open_space, space_named
    from mmplatform.retrieve.endpoints import search_router
    from mmplatform.retrieve.search.search import Searcher
    from mmplatform.retrieve.search.serving_embedder import Serving

    index = ChromaIndex.open(settings)
    serving = Serving(SpaceLog(index).read, partial(open_space, settings), space_named(settings))
    serving.warm_up()
    searcher = Searcher(index, serving)

    def ready() -> None:
        index.reachable()
        serving()

    return [search_router(lambda: searcher, ready)]


async def _prepare_and_watch(parts: GatewayParts) -> None:
    """Make the topics as soon as the broker answers, then watch the lag for ever."""
    while True:
        try:
            await asyncio.to_thread(parts.prepare)
            break
        except PlatformError as error:
            _log.warning("topics_not_ready", error=type(error).__name__, reason=str(error))
        except Exception as error:  # noqa: BLE001 - a task that ended would leave the gates open for ever
            _log.error("topics_not_ready", **without_words(error))
        await asyncio.sleep(_RETRY_S)
    await keep_watch(parts.ingest.settings, parts.ingest.gates, parts.view)


async def _knows_the_lag(parts: GatewayParts) -> None:
    """Return when the gates know how far the derivers are; without a broker that answers, after a few seconds.

    Beside an old gateway we get some of its connections as soon as we listen, and a gate that knows nothing is open.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_KNOWN_S):
            while any(gate.lag is None for gate in parts.ingest.gates.values()):  # noqa: ASYNC110 - a gate has no event
                await asyncio.sleep(0.05)


class Judge:
    """Whether an event can be taken now. What it finds is kept in the parts' readiness, too."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._broker = Look(parts.view.reachable, within_s=_PROBE_S)
        self._blobs = Look(lambda: parts.ingest.blobs.exists(_NO_BLOB), within_s=_PROBE_S)

    async def look(self) -> dict[str, str]:
        """What taking an event needs, each with ``ok`` or what is wrong with it."""
        unknown = [modality for modality, gate in self._parts.ingest.gates.items() if gate.lag is None]
        broker, blobs = await asyncio.gather(self._broker.verdict(), self._blobs.verdict())
        checks = {"broker": broker, "blobs": blobs, "lag": f"not known yet: {', '.join(unknown)}" if unknown else "ok"}
        for name, verdict in checks.items():
            if verdict == "ok":
                self._parts.readiness.gone(name)
            else:
                self._parts.readiness.stands(name, verdict)
        return checks


async def _keep_judging(judge: Judge, readiness: Readiness) -> None:
    """Look every two seconds, for those who ask the worker's own page; that it does so shows that the loop goes on."""
    while True:
        readiness.beats(_HANGS_S)
        try:
            await judge.look()
        except Exception as error:  # noqa: BLE001 - the page would tell what was found last for ever
            _log.error("look_stumbled", **without_words(error))
        await asyncio.sleep(_LOOK_S)


def _health_router(parts: GatewayParts, judge: Judge) -> APIRouter:
    router = APIRouter(tags=["health"])
    gates, metrics = parts.ingest.gates, parts.ingest.metrics

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """The process answers."""
        return "ok"

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether events can be taken now; 503 with the reasons when not."""
        checks = await judge.look()
        if DRAINING in parts.readiness.reasons():
            checks[DRAINING] = "answers what it has and takes no more"
        ready = all(verdict == "ok" for verdict in checks.values())
        return JSONResponse({"ready": ready, "checks": checks}, 200 if ready else 503)

    @router.get("/metrics")
    async def prometheus() -> PlainTextResponse:
        """Counters, in Prometheus' text format."""
        metrics.look(gates)
        metrics.held.set(parts.ingest.budget.held)
        return PlainTextResponse(metrics.page(), media_type=_METRICS_TYPE)

    return router


class _Server(uvicorn.Server):
    """Uvicorn, with our end: it would raise the signal again after draining and so end the whole process with it."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], readiness: Readiness) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._readiness = readiness

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._readiness.gone(LISTENS)
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._stop)
        yield

    def _stop(self, *_: Any) -> None:
        self._readiness.stands(DRAINING, "answers what it has and takes no more")
        self.should_exit = True
