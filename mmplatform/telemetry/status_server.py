"""Status page of a worker over HTTP.

``/healthz``, ``/readyz``, ``/livez``, ``/status`` (JSON) and ``/metrics`` (Prometheus).

On loopback unless the settings say otherwise, on one thread. Nothing here may block the worker.
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
        self._canaries: Callable[[], Mapping[str, Any]] | None = None
        self._recent: deque[tuple[float, int]] = deque()
        self._shed: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        labels = ("worker",)
        self._records = Counter("mmplatform_records", "Log records consumed", labels, registry=self.registry)
        self._outcomes = Counter(
            "mmplatform_outcomes", "Outcomes of the records", ("worker", "outcome"), registry=self.registry
        )
        self._seconds = Histogram("mmplatform_batch_seconds", "Time per micro-batch", labels, registry=self.registry)
        self._lag = Gauge("mmplatform_lag", "Offsets behind the end of the log", labels, registry=self.registry)
        ready = Gauge("mmplatform_ready", "1 while /readyz answers 200, else 0", labels, registry=self.registry)
        ready.labels(name).set_function(lambda: 0.0 if self.readiness.reasons() else 1.0)
        self._gaps = Histogram(
            "mmplatform_freshness_gap_seconds",
            "Event time to retrievable",
            ("modality",),
            buckets=GAP_HISTOGRAM_BUCKETS,
            registry=self.registry,
        )
        self._index_delays = Histogram(
            "mmplatform_index_delay_seconds",
            "Time of a passage from the log to the index",
            buckets=GAP_HISTOGRAM_BUCKETS,
            registry=self.registry,
        )
        if freshness is not None:
            self.registry.register(_FreshnessCollector(freshness))

    def close(self) -> None:
        """Stop watching the lag."""
        self._closed.set()

    def record_consumed(self, records: int) -> None:
        """Count records that are consumed before their micro-batch is complete."""
        self._records.labels(self.name).inc(records)
        with self._lock:
            self._recent.append((time.monotonic(), records))
            self._drop_expired()

    def record_batch(self, records: int, seconds: float, **outcomes: int) -> None:
        """Count one micro-batch."""
        self.record_consumed(records)
        self._seconds.labels(self.name).observe(seconds)
        for outcome, count in outcomes.items():
            self._outcomes.labels(self.name, outcome).inc(count)
        if outcomes.get("shed"):
            with self._lock:
                self._shed.append((time.monotonic(), outcomes["shed"]))

    def record_gap(self, modality: str, seconds: float) -> None:
        """Count one passage's gap in the histogram."""
        self._gaps.labels(modality).observe(max(seconds, 0.0))

    def record_index_delay(self, seconds: float) -> None:
        """Count one passage's time from the log to the index in the histogram."""
        self._index_delays.observe(max(seconds, 0.0))

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
        for window, window_s in ((self._recent, RATE_WINDOW_S), (self._shed, WINDOW_S)):
            while window and window[0][0] < time.monotonic() - window_s:
                window.popleft()

    def as_json(self) -> dict[str, Any]:
        """Body of ``/status``."""
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
            "canaries": dict(self._canaries()) if self._canaries else {},
        }

    def watch_lineage(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Expose counts of lineage events by outcome, and how many are ``queued``."""
        self._lineage = counts
        self.registry.register(_LineageCollector(counts))

    def watch_canaries(self, payload: Callable[[], Mapping[str, Any]]) -> None:
        """Show figures of canaries on the status page."""
        self._canaries = payload

    def watch_lag(self, read: Callable[[], int]) -> None:
        """Poll the lag on a thread; while the broker is unreachable, the lag is unknown."""

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
    """Counts of the lineage emitter, read at each scrape."""

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
    """Rolling freshness quantiles, computed at each scrape."""

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
    """200 unless the loop hangs: while the worker waits for a store or broker, a restart would fix nothing."""
    return (503 if hang_reason else 200, "text/plain", (hang_reason or "ok").encode())


def serve_status(status: WorkerStatus, port: int, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Answer on ``host:port`` (0 picks a free one) from a daemon thread.

    Raises:
        Misconfigured: the address is not one of this machine's.
        Unavailable: the port is in use.
    """

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # headers and body are two writes: the second would wait for the first's ACK

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
    """Logs through structlog when a reader disconnects; the library would write a traceback to stderr."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - its contract
        error = sys.exception()
        if isinstance(error, Exception):
            _log.debug("a request for a status page failed", **safe_error_fields(error))


def _bind(handler: type[BaseHTTPRequestHandler], host: str, port: int) -> ThreadingHTTPServer:
    class Server(_StatusServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            # http.server resolves `host`'s name here, which in a cluster may take seconds.
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
    raise Misconfigured(f"cannot listen on {host}:{port} ({reason}): fix MMPLATFORM_METRICS_HOST or _PORT")
