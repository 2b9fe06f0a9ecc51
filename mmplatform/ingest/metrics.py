"""Metrics of the gateway, for ``/metrics``. Each has its own registry: two applications in one process do not mix."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmplatform.events import Modality
from mmplatform.ingest.backpressure import BackpressureGate
from mmplatform.kafka.canary_key import is_canary_scope

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNANSWERED_STATUS: Final = 500


class IngestMetrics:
    """Counters of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mmplatform_gateway_requests", "Responses by route and status", ["route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "mmplatform_gateway_request_seconds",
            "Time from a request's first byte to its response",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.events = Counter(
            "mmplatform_gateway_events", "Accepted events by outcome", ["modality", "outcome"], registry=self.registry
        )
        self.bytes = Counter(
            "mmplatform_gateway_bytes", "Accepted bytes of text, audio and images", ["modality"], registry=self.registry
        )
        self.throttled_requests = Counter(
            "mmplatform_gateway_throttled_requests", "Requests answered with 429", ["modality"], registry=self.registry
        )
        self.shed = Counter(
            "mmplatform_gateway_shed", "Events stored but shed, so not derived", ["modality"], registry=self.registry
        )
        self.buffered = Counter(
            "mmplatform_gateway_buffered", "Events accepted over high water", ["modality"], registry=self.registry
        )
        self.high_water_reached = Counter(
            "mmplatform_gateway_high_water_reached",
            "Times that high water was reached",
            ["modality"],
            registry=self.registry,
        )
        self._high_water_counts: dict[Modality, int] = {}
        self.over_high_water = Gauge(
            "mmplatform_gateway_over_high_water",
            "1 from high water until low water",
            ["modality", "policy"],
            registry=self.registry,
        )
        self.oldest_event_age = Gauge(
            "mmplatform_gateway_oldest_event_age_seconds",
            "Age of the oldest event that is not derived yet",
            ["modality"],
            registry=self.registry,
        )
        self.inflight_body_bytes = Gauge(
            "mmplatform_gateway_inflight_body_bytes", "Bytes of request bodies in flight", registry=self.registry
        )
        self.lag = Gauge(
            "mmplatform_gateway_lag", "Events that the derivers are behind", ["modality"], registry=self.registry
        )

    def observe_gates(self, gates: Mapping[Modality, BackpressureGate]) -> None:
        """Copy the state of the gates; one without an observation is left out."""
        for modality, gate in gates.items():
            if gate.backlog is None:
                continue
            self.lag.labels(modality).set(gate.backlog.lag)
            self.oldest_event_age.labels(modality).set(gate.backlog.age_s)
            self.over_high_water.labels(modality, gate.policy).set(gate.closed)
            counted = self._high_water_counts.get(modality, 0)
            self.high_water_reached.labels(modality).inc(gate.high_water_count - counted)
            self._high_water_counts[modality] = gate.high_water_count

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class RequestMetricsMiddleware:
    """ASGI middleware: counts and times each response under its route's template, never under the requested path.

    A canary's request is no traffic of a source, and is not counted.
    """

    def __init__(self, app: ASGIApp, metrics: IngestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = _UNANSWERED_STATUS, time.perf_counter()

        async def send_and_track(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_track)
        finally:
            if not is_canary_scope(scope):
                route = getattr(scope.get("route"), "path", "unmatched")
                self._metrics.requests.labels(route, status).inc()
                self._metrics.request_seconds.labels(route).observe(time.perf_counter() - started)
