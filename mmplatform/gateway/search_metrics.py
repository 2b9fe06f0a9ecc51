"""Metrics of a gateway's search: its tail, its waits, and since when it could find each passage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mmplatform.identity import CANARY_TENANT
from mmplatform.retrieve.tail.tail import TailState
from mmplatform.telemetry.status_server import GAP_HISTOGRAM_BUCKETS

if TYPE_CHECKING:
    from mmplatform.artifacts import Passage
    from mmplatform.retrieve.tail.follower import TailFigures


class RetrievableGaps:
    """Freshness gap of each passage as this gateway sees it: from its event's time to its arrival in the tail."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gaps = Histogram(
            "mmplatform_gateway_retrievable_gap_seconds",
            "From the event's time until this gateway could find its passage",
            ["modality"],
            buckets=GAP_HISTOGRAM_BUCKETS,
            registry=registry,
        )

    def record(self, passage: Passage, applied_at: datetime) -> None:
        """Record a passage; a canary is not counted, nor one of a reprocessing run, whose event is of long ago."""
        if passage.provenance.derivation == 0 and passage.tenant != CANARY_TENANT:
            gap_s = (applied_at - passage.stamps.event_time).total_seconds()
            self._gaps.labels(passage.modality).observe(max(gap_s, 0.0))


class TailCollector(Collector):
    """Metrics of the tail, read at each scrape; none when it is off."""

    def __init__(self, figures: Callable[[], tuple[TailFigures, int] | None]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """One gauge for each figure."""
        found = self._figures()
        if found is None:
            return
        figures, waits = found
        values = {
            "entries": ("Passages and retractions that the index may not have yet", figures.entries),
            "bytes": ("Their memory, estimated", figures.bytes),
            "lag": ("Records on the log that the tail has not read", figures.lag),
            "unreadable": ("Records that are no artifacts, passed over", figures.unreadable),
            "current": ("1 while everything derived is in reach", figures.state is TailState.CURRENT),
        }
        for name, (text, value) in values.items():
            yield GaugeMetricFamily(f"mmplatform_gateway_tail_{name}", text, value=float(value))
        yield GaugeMetricFamily("mmplatform_gateway_fence_waits", "Searches that wait for fresh events", value=waits)
