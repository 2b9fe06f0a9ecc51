"""Figures of canaries: counts by outcome, gaps, and false claims, for the status page and for Prometheus."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as PrometheusCounter

from mmplatform.events import Modality, utc_now
from mmplatform.modalities import MODALITIES
from mmplatform.pipeline.canary.claims import CLAIMS
from mmplatform.pipeline.canary.probe import OUTCOMES, CanaryReport, FalseReceipt
from mmplatform.telemetry.freshness import Quantiles, quantiles_payload
from mmplatform.telemetry.status_server import GAP_HISTOGRAM_BUCKETS

WINDOW_S: Final = 86_400.0
"""A day: two screenshots and two calls an hour are too few for quantiles of less."""

MAX_GAPS: Final = 20_000
MAX_FALSE_RECEIPTS: Final = 20_000


class CanaryFigures:
    """Figures of the canaries of one process. Thread-safe."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._lock = threading.Lock()
        self._outcomes: dict[Modality, Counter[str]] = {}
        self._claims: Counter[Modality] = Counter()
        self._claimed_at: dict[Modality, deque[float]] = {}
        self._gaps: dict[Modality, deque[tuple[float, float]]] = {}
        self._partitions: dict[Modality, dict[int, dict[str, Any]]] = {}
        self._counted = PrometheusCounter(
            "mmplatform_canaries", "Canaries by outcome", ["modality", "outcome"], registry=registry
        )
        self._false_receipts = PrometheusCounter(
            "mmplatform_canary_false_receipts",
            "Canaries that a receipt claimed and the search did not return",
            ["modality", "claim"],
            registry=registry,
        )
        self._gap = Histogram(
            "mmplatform_canary_gap_seconds",
            "From the acknowledgement of a canary to the answer that had it",
            ["modality"],
            buckets=GAP_HISTOGRAM_BUCKETS,
            registry=registry,
        )
        self._last_gap = Gauge(
            "mmplatform_canary_last_gap_seconds",
            "Gap of the last canary that was found in a topic partition",
            ["modality", "topic_partition"],
            registry=registry,
        )
        self._expose_zeros()

    def _expose_zeros(self) -> None:
        """Expose every count from the start: Prometheus' ``increase`` does not see a series begin at 1."""
        for modality in MODALITIES:
            for outcome in OUTCOMES:
                self._counted.labels(modality, outcome)
            for claim in CLAIMS:
                self._false_receipts.labels(modality, claim)

    @property
    def false_receipts(self) -> int:
        """Canaries that a receipt claimed and the search did not return."""
        with self._lock:
            return sum(self._claims.values())

    def count(self, outcome: str) -> int:
        """Number of canaries with an outcome."""
        with self._lock:
            return sum(counts[outcome] for counts in self._outcomes.values())

    def record(self, report: CanaryReport) -> None:
        """Add the end of a canary; its false claims are added by :meth:`record_false_receipt`."""
        modality, number = report.modality, report.topic_partition
        self._counted.labels(modality, report.outcome).inc()
        if report.gap_s is not None:
            self._gap.labels(modality).observe(report.gap_s)
            self._last_gap.labels(modality, number).set(report.gap_s)
        with self._lock:
            self._outcomes.setdefault(modality, Counter())[report.outcome] += 1
            if report.gap_s is not None:
                gaps = self._gaps.setdefault(modality, deque(maxlen=MAX_GAPS))
                gaps.append((time.monotonic(), report.gap_s))
            if number is not None:
                self._partitions.setdefault(modality, {})[number] = {
                    "outcome": report.outcome,
                    "gap_s": None if report.gap_s is None else round(report.gap_s, 4),
                    "ended_at": utc_now().isoformat(),
                }

    def record_false_receipt(self, found: FalseReceipt) -> None:
        """Add claims of a receipt that were not true; the canary is counted with the first of them."""
        for claim in found.claims:
            self._false_receipts.labels(found.modality, claim).inc()
        if found.is_first:
            with self._lock:
                self._claims[found.modality] += 1
                times = self._claimed_at.setdefault(found.modality, deque(maxlen=MAX_FALSE_RECEIPTS))
                times.append(time.monotonic())

    def payload(self) -> Mapping[str, Mapping[str, Any]]:
        """Figures of each modality in the JSON form of the status page.

        Counts are since the start; gaps and recent false receipts are of a day.
        """
        since = time.monotonic() - WINDOW_S
        with self._lock:
            return {
                modality: {
                    "outcomes": dict(self._outcomes.get(modality, {})),
                    "false_receipts": self._claims[modality],
                    "recent_false_receipts": self._recent_claims(modality, since),
                    "gap": self._gap_payload(modality, since),
                    "topic_partitions": {
                        str(number): dict(last) for number, last in self._partitions.get(modality, {}).items()
                    },
                }
                for modality in dict.fromkeys((*self._outcomes, *self._claims))
            }

    def _recent_claims(self, modality: Modality, since: float) -> int:
        return sum(claimed_at >= since for claimed_at in self._claimed_at.get(modality, ()))

    def _gap_payload(self, modality: Modality, since: float) -> dict[str, float]:
        recent = (gap for recorded_at, gap in self._gaps.get(modality, ()) if recorded_at >= since)
        found = Quantiles.from_seconds(recent)
        return quantiles_payload(found) if found else {}
