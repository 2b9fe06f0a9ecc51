"""What a worker says of itself over HTTP.

``/healthz``, ``/readyz``, ``/livez``, ``/status`` (JSON) and ``/metrics`` (Prometheus).

On loopback unless the settings say otherwise; one thread; nothing here may hold the worker up.
"""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.telemetry.freshness import WINDOW_S, FreshnessTracker, freshness_payload
from mmplatform.telemetry.index_counts import BucketCounts
from mmplatform.telemetry.logs import safe_error_fields
from mmplatform.telemetry.readiness import BROKER, Readiness

_log = structlog.get_logger(__name__)
RATE_WINDOW_S: Final = 15.0
LAG_INTERVAL_S: Final = 2.0
GAP_HISTOGRAM_BUCKETS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 13, 30, 60, 300, 3600)


class WorkerStatus:
    """Counters and state of one worker process."""

    def __init__(self, name: str, *, freshness: FreshnessTracker | None = None) -> None:
        self.name = name
        self.freshness = freshness
        self.buckets = BucketCounts() if freshness is not None else None
        self.state = "starting"
        self.readiness = Readiness()
        self.lag: int | None = None
        self.registry = CollectorRegistry()
        self._lineage: Callable[[], Mapping[str, int]] | None = None
        self._recent: deque[tuple[float, int]] = deque()
        self._shed: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        labels = ("worker",)
        self._records = Counter("mmplatform_records", "Log records taken up", labels, registry=self.registry)
        self._outcomes = Counter(
            "mmplatform_outcomes", "What became of them", ("worker", "outcome"), registry=self.registry
        )
        self._seconds = Histogram("mmplatform_batch_seconds", "Time per micro-batch", labels, registry=self.registry)
        self._lag = Gauge("mmplatform_lag", "Positions behind", labels, registry=self.registry)
        ready = Gauge("mmplatform_ready", "1 while /readyz answers 200, else 0", labels, registry=self.registry)
        ready.labels(name).set_function(lambda: 0.0 if self.readiness.reasons() else 1.0)
        self._gaps = Histogram(
            "mmplatform_freshness_gap_seconds",
            "Event time to indexed",
            ("modality",),
            buckets=GAP_HISTOGRAM_BUCKETS,
            registry=self.registry,
        )
        if freshness is not None:
            self.registry.register(_FreshnessCollector(freshness))

    def close(self) -> None:
        """Stop watching the lag."""
        self._closed.set()

    def record_batch(self, records: int, seconds: float, **outcomes: int) -> None:
        """Count one micro-batch."""
        self._records.labels(self.name).inc(records)
        self._seconds.labels(self.name).observe(seconds)
        for outcome, count in outcomes.items():
            self._outcomes.labels(self.name, outcome).inc(count)
        with self._lock:
            self._recent.append((time.monotonic(), records))
            if outcomes.get("shed"):
                self._shed.append((time.monotonic(), outcomes["shed"]))
            self._drop_expired()

    def record_gap(self, modality: str, seconds: float) -> None:
        """Count one passage's gap in the histogram."""
        self._gaps.labels(modality).observe(max(seconds, 0.0))

    def rate(self) -> float:
        """Records a second over the last window."""
        with self._lock:
            self._drop_expired()
            return sum(count for _, count in self._recent) / RATE_WINDOW_S

    def shed(self) -> int:
        """Events that were shed, over the window of the freshness figures: they have no gap, and are not findable."""
        with self._lock:
            self._drop_expired()
            return sum(count for _, count in self._shed)

    def _drop_expired(self) -> None:
        for kept, window_s in ((self._recent, RATE_WINDOW_S), (self._shed, WINDOW_S)):
            while kept and kept[0][0] < time.monotonic() - window_s:
                kept.popleft()

    def as_json(self) -> dict[str, Any]:
        """What ``/status`` answers."""
        summary = freshness_payload(self.freshness.summary()) if self.freshness else {}
        return {
            "worker": self.name,
            "state": self.state,
            "lag": self.lag,
            "rate": round(self.rate(), 2),
            "shed": self.shed(),
            "gap": {modality: found["gap"] for modality, found in summary.items()},
            "freshness": summary,
            "measured_since": self.freshness.measured_since.isoformat() if self.freshness else None,
            "buckets": dict(self.buckets.as_json()) if self.buckets else {},
            "lineage": dict(self._lineage()) if self._lineage else None,
        }

    def watch_lineage(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Show what became of lineage events: how many by outcome, and how many are ``queued``."""
        self._lineage = counts
        self.registry.register(_LineageCollector(counts))

    def watch_lag(self, read: Callable[[], int]) -> None:
        """Read the lag now and again on a thread of its own; an unreachable broker leaves the lag unknown."""

        def loop() -> None:
            while not self._closed.is_set():
                try:
                    self.lag = read()
                    self._lag.labels(self.name).set(self.lag)
                    self.readiness.unblock(BROKER)
                except Exception as error:  # noqa: BLE001 - a status page must not end the worker
                    self.lag = None
                    self.readiness.block(BROKER, f"does not answer ({type(error).__name__})")
                    _log.debug("lag unknown", error=type(error).__name__)
                self._closed.wait(LAG_INTERVAL_S)

        threading.Thread(target=loop, name="lag", daemon=True).start()


class _LineageCollector(Collector):
    """The emitter's counts, read when they are scraped."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        found = dict(self._counts())
        queued = found.pop("queued")
        yield GaugeMetricFamily("mmplatform_lineage_queued", "Lineage events that wait to be sent", value=queued)
        family = CounterMetricFamily("mmplatform_lineage_events", "Lineage events by outcome", labels=["outcome"])
        for outcome, count in found.items():
            family.add_metric([outcome], count)
        yield family


class _FreshnessCollector(Collector):
    """The rolling quantiles, computed when they are scraped."""

    def __init__(self, freshness: FreshnessTracker) -> None:
        self._freshness = freshness

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = ["modality", "stage", "quantile"]
        family = GaugeMetricFamily("mmplatform_freshness_seconds", "Rolling freshness gap, by stage", labels=labels)
        for modality, found in self._freshness.summary().items():
            for stage, quantiles in {"total": found.gap, **found.stages}.items():
                for name in ("p50", "p95", "p99", "max"):
                    family.add_metric([modality, stage, name], getattr(quantiles, name))
        yield family


def _readyz(reasons: Mapping[str, str]) -> tuple[int, str, bytes]:
    body = json.dumps({"ready": not reasons, "reasons": reasons}).encode()
    return (503 if reasons else 200, "application/json", body)


def _livez(hang_reason: str) -> tuple[int, str, bytes]:
    """Whether a new start would mend nothing: through all waits for stores and brokers, unless the loop hangs."""
    return (503 if hang_reason else 200, "text/plain", (hang_reason or "ok").encode())


def serve_status(status: WorkerStatus, port: int, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Answer on ``host:port`` (0 takes a free one) from a daemon thread.

    Raises:
        Misconfigured: the address is none of this machine's.
        Unavailable: the port is in use.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {
                "/healthz": lambda: (200 if status.state == "running" else 503, "text/plain", status.state.encode()),
                "/readyz": lambda: _readyz(status.readiness.reasons()),
                "/livez": lambda: _livez(status.readiness.hang_reason()),
                "/status": lambda: (200, "application/json", json.dumps(status.as_json()).encode()),
                "/metrics": lambda: (200, "text/plain; version=0.0.4", generate_latest(status.registry)),
            }
            page = pages.get(self.path, lambda: (404, "text/plain", b"/healthz, /readyz, /livez, /status or /metrics"))
            code, kind, body = page()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's contract
            """Keep scrapes out of the worker's log."""

    server = _bind(Handler, host, port)
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    return server


class _StatusServer(ThreadingHTTPServer):
    """The library's own would write a traceback past our logging when a reader went away."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - its contract
        error = sys.exception()
        if isinstance(error, Exception):
            _log.debug("a page was not answered", **safe_error_fields(error))


def _bind(handler: type[BaseHTTPRequestHandler], host: str, port: int) -> ThreadingHTTPServer:
    class Server(_StatusServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            # http.server's own asks the name service who `host` is, which in a cluster may take seconds.
            TCPServer.server_bind(self)
            self.server_name, self.server_port = host, self.server_address[1]

    try:
        return Server((host, port), handler)
    except (socket.gaierror, PermissionError) as error:
        reason = error.strerror
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(f"{host}:{port} is in use: set MMPLATFORM_METRICS_PORT, 0 for a free one") from None
        reason = error.strerror
    raise Misconfigured(f"cannot listen on {host}:{port} ({reason}): mend MMPLATFORM_METRICS_HOST or _PORT")
