"""The gateway: the one HTTP process, composed of routers, health endpoints and metrics.

``/healthz``: the process answers. ``/readyz``: it can accept events (broker and blob store answer, the lag is observed,
it is not draining). ``/readyz/search``: it can answer searches. ``/metrics`` is for Prometheus. On a signal it drains:
it refuses new requests, answers the open ones and flushes the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse

from mmplatform import __version__
from mmplatform.errors import PlatformError
from mmplatform.events import BlobRef
from mmplatform.gateway.health import HealthProbe
from mmplatform.gateway.listener import listen
from mmplatform.gateway.pages import create_documented_app
from mmplatform.gateway.search import open_search
from mmplatform.gateway.search_metrics import RetrievableGaps, TailCollector
from mmplatform.gateway.server import DRAINING_REASON, LISTENER, GatewayServer
from mmplatform.identity import CANARY_TENANT
from mmplatform.ingest.backpressure import LagReader, open_gates, watch_lag
from mmplatform.ingest.call_stream import stream_router
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.ingest.endpoints import ingest_router
from mmplatform.ingest.metrics import IngestMetrics, RequestMetricsMiddleware
from mmplatform.kafka.canary_key import open_canary_key
from mmplatform.kafka.headers import open_pseudonyms
from mmplatform.kafka.position_token import open_tokens
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics
from mmplatform.retrieve.endpoints import CanarySearch, search_router
from mmplatform.settings import Settings
from mmplatform.telemetry.logs import safe_error_fields
from mmplatform.telemetry.readiness import DRAINING, Readiness
from mmplatform.web.body_budget import BodyBudget
from mmplatform.web.problems import install_problem_handlers

_ACK_TIMEOUT_S: Final = 8.0
_DRAIN_TIMEOUT_S: Final = 10
_PROBE_TIMEOUT_S: Final = 2.0
_RETRY_INTERVAL_S: Final = 1.0
_READINESS_INTERVAL_S: Final = 2.0
_LAG_TIMEOUT_S: Final = 5.0
_LOOP_TIMEOUT_S: Final = 30.0  # no request blocks the loop for a second: blocking calls run in threads
INITIAL_OBSTACLES: Final = {
    LISTENER: "does not listen yet",
    "broker": "not checked yet",
    "blobs": "not checked yet",
    "lag": "not known yet",
}
"""Obstacles of the worker's own page before the first check."""

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PROBE_BLOB: Final = BlobRef(key="probe", sha256="0" * 64, size=0, media_type="application/octet-stream")

_log = structlog.get_logger(__name__)


class GatewayLogReader(LagReader, Protocol):
    """The part of :class:`~mmplatform.kafka.reader.ReplayLog` that the gateway uses."""

    def check_reachable(self) -> None:
        """Return when the broker answers. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """Parts of the gateway: ``create_topics`` creates missing topics, ``close`` flushes and closes the log; both block.

    ``readiness`` is updated for the worker's own page, which the gateway does not serve.
    """

    ingest: IngestDeps
    log_reader: GatewayLogReader
    create_topics: Callable[[], object]
    close: Callable[[], None]
    readiness: Readiness = field(default_factory=lambda: Readiness({}))


def open_parts(settings: Settings, readiness: Readiness | None = None) -> GatewayParts:
    """Open the real parts. No server is contacted yet: an unavailable broker is retried later. Raises Misconfigured."""
    from mmplatform.derive.media import audio, image
    from mmplatform.land.blobs.open import open_blobs

    log_reader = ReplayLog(settings, timeout_s=_PROBE_TIMEOUT_S)
    blobs = open_blobs(settings)
    producer = LogProducer(settings, timeout_s=_ACK_TIMEOUT_S)
    deps = IngestDeps(
        canary_key=open_canary_key(settings),
        settings=settings,
        log=producer,
        blobs=blobs,
        gates=open_gates(settings),
        budget=BodyBudget(settings.max_inflight_body_bytes),
        probe_audio=audio.probe,
        probe_image=image.BoundedProbe(),
        split_recording=audio.split,
        pseudonyms=open_pseudonyms(settings),
        tokens=open_tokens(settings),
    )
    own = settings.model_copy(update={"tenant": CANARY_TENANT})
    canaries = replace(deps, settings=own, blobs=open_blobs(own), tokens=open_tokens(own), metrics=IngestMetrics())
    deps = replace(deps, canaries=canaries)

    def close() -> None:
        try:
            producer.close()
        finally:
            log_reader.close()

    return GatewayParts(
        deps,
        log_reader,
        create_topics=lambda: ensure_topics(settings),
        close=close,
        readiness=readiness or Readiness({}),
    )


def create_app(settings: Settings, parts: GatewayParts | None = None, *, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """The application; its lifespan closes the parts (the real ones when none are given). Raises Misconfigured."""
    composed = parts or open_parts(settings)
    checker = ReadinessChecker(composed)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(_create_topics_and_watch_lag(composed)),
            asyncio.create_task(_check_readiness_forever(checker, composed.readiness)),
        ]
        try:
            if settings.gateway_reuse_port:
                await _wait_for_lag(composed)
            yield
        finally:
            for task in tasks:
                task.cancel()
            composed.readiness.pause_heartbeat()
            await asyncio.gather(*tasks, return_exceptions=True)
            try:
                await composed.ingest.idempotency.drain()
            finally:  # records in the producer's queue must be flushed, also after a failed write
                await asyncio.to_thread(composed.close)

    app = create_documented_app(title="mmplatform", version=__version__, lifespan=lifespan)
    install_problem_handlers(app)
    app.add_middleware(RequestMetricsMiddleware, metrics=composed.ingest.metrics)
    app.include_router(ingest_router(composed.ingest))
    app.include_router(stream_router(composed.ingest))
    for router in routers:
        app.include_router(router)
    app.include_router(_health_router(composed, checker))
    return app


def serve(
    settings: Settings, *, on_ready: Callable[[], None] = lambda: None, readiness: Readiness | None = None
) -> None:
    """Serve on ``gateway_host:gateway_port`` until SIGTERM or SIGINT, then drain; ``on_ready`` once it listens.

    Raises:
        Unavailable: the port is in use, or the address is not one of this machine.
        Misconfigured: a setting of the broker or the blob store is wrong.
        Permanent: this user may not listen on the port.
    """
    listener = listen(settings.gateway_host, settings.gateway_port, reuse_port=settings.gateway_reuse_port)
    with listener:
        # The parts first: a wrong address fails before an embedder is loaded.
        parts = open_parts(settings, readiness)
        registry = parts.ingest.metrics.registry
        search = open_search(settings, RetrievableGaps(registry))
        registry.register(TailCollector(search.figures))
        canaries = CanarySearch(open_canary_key(settings), search.canary_search)
        app = create_app(
            settings, parts, routers=[search_router(lambda: search.search, search.check_ready, canaries=canaries)]
        )
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_DRAIN_TIMEOUT_S
        )
        host, port = listener.getsockname()[:2]
        _log.info("gateway_listens", host=host, port=port)
        with search:
            asyncio.run(GatewayServer(config, on_ready, parts.readiness).serve(sockets=[listener]))


async def _create_topics_and_watch_lag(parts: GatewayParts) -> None:
    """Create the topics as soon as the broker answers, then watch the lag until cancelled."""
    while True:
        try:
            await asyncio.to_thread(parts.create_topics)
            break
        except PlatformError as error:
            _log.warning("topics_not_ready", error=type(error).__name__, reason=str(error))
        except Exception as error:  # noqa: BLE001 - without this task the gates would stay open for ever
            _log.error("topics_not_ready", **safe_error_fields(error))
        await asyncio.sleep(_RETRY_INTERVAL_S)
    await watch_lag(parts.ingest.settings, parts.ingest.gates, parts.log_reader)


async def _wait_for_lag(parts: GatewayParts) -> None:
    """Return when every gate has observed its lag; after 5 seconds at the latest, if the broker does not answer.

    On a port shared with an old gateway, connections arrive as soon as this one listens, and a gate without an
    observation is open.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAG_TIMEOUT_S):
            while any(gate.lag is None for gate in parts.ingest.gates.values()):  # noqa: ASYNC110 - a gate has no event
                await asyncio.sleep(0.05)


class ReadinessChecker:
    """Checks whether the gateway can accept events, and copies the result to the parts' readiness."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._broker = HealthProbe(parts.log_reader.check_reachable, timeout_s=_PROBE_TIMEOUT_S)
        self._blobs = HealthProbe(lambda: parts.ingest.blobs.exists(_PROBE_BLOB), timeout_s=_PROBE_TIMEOUT_S)

    async def check(self) -> dict[str, str]:
        """Check each dependency of the ingest endpoints; the value is ``ok`` or the failure."""
        unknown = [modality for modality, gate in self._parts.ingest.gates.items() if gate.lag is None]
        broker, blobs = await asyncio.gather(self._broker.status(), self._blobs.status())
        checks = {"broker": broker, "blobs": blobs, "lag": f"not known yet: {', '.join(unknown)}" if unknown else "ok"}
        for name, status in checks.items():
            if status == "ok":
                self._parts.readiness.unblock(name)
            else:
                self._parts.readiness.block(name, status)
        return checks


async def _check_readiness_forever(checker: ReadinessChecker, readiness: Readiness) -> None:
    """Check every two seconds for the worker's own page; the heartbeat shows that the event loop runs."""
    while True:
        readiness.heartbeat(_LOOP_TIMEOUT_S)
        try:
            await checker.check()
        except Exception as error:  # noqa: BLE001 - without this task the page would keep its last result for ever
            _log.error("readiness_check_failed", **safe_error_fields(error))
        await asyncio.sleep(_READINESS_INTERVAL_S)


def _health_router(parts: GatewayParts, checker: ReadinessChecker) -> APIRouter:
    router = APIRouter(tags=["health"])
    gates, metrics = parts.ingest.gates, parts.ingest.metrics

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """The process answers."""
        return "ok"

    @router.get("/readyz", responses={503: {"description": "Not ready, with the reasons"}})
    async def readyz() -> JSONResponse:
        """Readiness for events; 503 with the reasons when not ready."""
        checks = await checker.check()
        if DRAINING in parts.readiness.reasons():
            checks[DRAINING] = DRAINING_REASON
        ready = all(status == "ok" for status in checks.values())
        return JSONResponse({"ready": ready, "checks": checks}, 200 if ready else 503)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> PlainTextResponse:
        """Metrics in Prometheus' text format."""
        metrics.observe_gates(gates)
        metrics.inflight_body_bytes.set(parts.ingest.budget.reserved_bytes)
        return PlainTextResponse(metrics.render(), media_type=_METRICS_TYPE)

    return router
