"""What the gateway counts, for ``/metrics``. A registry of its own: two applications in one process do not mix."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmplatform.events import Modality
from mmplatform.ingest.backpressure import Gate

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
        self.shed = Counter(
            "mmplatform_gateway_shed", "Events kept but shed: nothing is derived", ["modality"], registry=self.registry
        )
        self.buffered = Counter(
            "mmplatform_gateway_buffered", "Events taken over high water", ["modality"], registry=self.registry
        )
        self.closings = Gauge(
            "mmplatform_gateway_high_waters", "Times that high water was reached", ["modality"], registry=self.registry
        )
        self.over = Gauge(
            "mmplatform_gateway_over_high_water",
            "1 from high water until low water",
            ["modality", "policy"],
            registry=self.registry,
        )
        self.oldest = Gauge(
            "mmplatform_gateway_oldest_seconds",
            "Age of the oldest event that no deriver is done with",
            ["modality"],
            registry=self.registry,
        )
        self.held = Gauge("mmplatform_gateway_held_bytes", "Bytes of request bodies in hand", registry=self.registry)
        self.lag = Gauge(
            "mmplatform_gateway_lag", "Events that the derivers are behind", ["modality"], registry=self.registry
        )

    def look(self, gates: Mapping[Modality, Gate]) -> None:
        """Take down how the gates stand; one whose lag is not known yet is left out."""
        for modality, gate in gates.items():
            if gate.depth is None:
                continue
            self.lag.labels(modality).set(gate.depth.lag)
            self.oldest.labels(modality).set(gate.depth.age_s)
            self.over.labels(modality, gate.policy).set(gate.closed)
            self.closings.labels(modality).set(gate.closings)

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
