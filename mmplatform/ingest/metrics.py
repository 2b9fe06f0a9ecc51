"""What the gateway counts, for ``/metrics``. A registry of its own: two applications in one process do not mix."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNSEEN_STATUS: Final = 500


class IngestMetrics:
    """Counters of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mmplatform_gateway_requests", "Answers, by route and status", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "mmplatform_gateway_request_seconds",
            "From a request's first byte to its answer",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.events = Counter(
            "mmplatform_gateway_events", "Events taken, by outcome", ["modality", "outcome"], registry=self.registry
        )
        self.bytes = Counter(
            "mmplatform_gateway_bytes", "Bytes of texts, audio and images taken", ["modality"], registry=self.registry
        )
        self.busy = Counter(
            "mmplatform_gateway_busy", "Requests answered with 429", ["modality"], registry=self.registry
        )
        self.held = Gauge("mmplatform_gateway_held_bytes", "Bytes of request bodies in hand", registry=self.registry)
        self.lag = Gauge(
            "mmplatform_gateway_lag", "Events that the derivers are behind", ["modality"], registry=self.registry
        )

    def page(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


class RequestMetrics:
    """ASGI middleware: counts and times each answer under its route's template, never under the path that was asked."""

    def __init__(self, app: ASGIApp, metrics: IngestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = _UNSEEN_STATUS, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
