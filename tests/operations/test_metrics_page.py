"""docs/reference/metrics.md names every metric that the processes expose, with its labels, and no other."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from mmplatform.gateway.search_metrics import RetrievableGaps, TailCollector
from mmplatform.ingest.backpressure import BackpressureGate, policy_and_thresholds
from mmplatform.ingest.metrics import IngestMetrics
from mmplatform.pipeline.canary.figures import CanaryFigures
from mmplatform.pipeline.canary.probe import CanaryReport
from mmplatform.retrieve.tail.follower import TailFigures
from mmplatform.retrieve.tail.tail import TailState
from mmplatform.settings import load
from mmplatform.telemetry.freshness import FreshnessTracker
from mmplatform.telemetry.status_server import WorkerStatus
from tests.builders import NOW, stamps
from tests.land.records import passage
from tests.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
WORKERS, GATEWAY = "Workers", "Gateway"


def documented(part: str) -> dict[str, set[str]]:
    """Labels by metric, as one part of the page has them."""
    text = PAGE.read_text().partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(mmplatform_\w+)` \|([^|]*)\|", text, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def exposed(registry) -> dict[str, set[str]]:
    """Labels by metric, under the names that the page shows: counters with ``_total``."""
    found = {}
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = labels - ({"le"} if family.type == "histogram" else set())
    return found


@pytest.fixture(scope="module")
def worker():
    """Every metric that a worker can have, each with a value in it, so that its labels show."""
    status = WorkerStatus("index", freshness=FreshnessTracker())
    status.record_batch(1, 0.1, passages=1)
    gap = status.freshness.record("chat", stamps(), NOW)
    status.record_gap("chat", gap.total)
    status.watch_lineage(lambda: {"sent": 1, "queued": 0})
    status._lag.labels("index").set(0)
    figures = CanaryFigures(status.registry)
    figures.record(CanaryReport("chat", "found", 0, 0.2, frozenset({"fence"})))
    return exposed(status.registry)


@pytest.fixture(scope="module")
def gateway():
    metrics = IngestMetrics()
    metrics.requests.labels("/v1/events/chat", 202).inc()
    metrics.request_seconds.labels("/v1/events/chat").observe(0.1)
    metrics.events.labels("chat", "accepted").inc()
    metrics.bytes.labels("chat").inc()
    metrics.throttled_requests.labels("chat").inc()
    metrics.shed.labels("chat").inc()
    metrics.buffered.labels("chat").inc()
    gate = BackpressureGate("chat", policy_and_thresholds(load(), "chat")[1])
    gate.observe(1)
    metrics.observe_gates({"chat": gate})
    metrics.registry.register(TailCollector(lambda: (TailFigures(TailState.CURRENT, 1, 4_000, 0, 0), 2)))
    RetrievableGaps(metrics.registry).record(passage(1), NOW + timedelta(seconds=2))
    return exposed(metrics.registry)


def test_every_metric_of_a_worker_is_on_the_page_and_no_other(worker):
    assert documented(WORKERS) == worker


def test_every_metric_of_the_gateway_is_on_the_page_and_no_other(gateway):
    assert documented(GATEWAY) == gateway


@pytest.mark.system
@pytest.mark.stack
@pytest.mark.models
@pytest.mark.slow
def test_every_exposed_metric_is_on_the_page(stack):
    """Both ways."""
    run = stack.now()
    urls = {name: service.metrics_url for name, service in run.services.items() if service.metrics_url}
    canaries = CollectorRegistry()  # this stack sends none
    CanaryFigures(canaries)
    workers = {family.name for family in canaries.collect()}.union(
        *(families(f"{url}/metrics") for url in urls.values())
    )
    assert {name.removesuffix("_total") for name in documented(WORKERS)} == workers
    assert {name.removesuffix("_total") for name in documented(GATEWAY)} == families(f"{run.gateway}/metrics")
    for url in urls.values():
        answer = eventually(lambda url=url: (got := httpx.get(f"{url}/readyz")).is_success and got, within_s=60)
        assert answer.json() == {"ready": True, "reasons": {}}


def families(url: str) -> set[str]:
    """Names of the platform's metrics on a page, without the suffixes of a counter."""
    page = httpx.get(url, timeout=30).raise_for_status().text
    return {
        name.removesuffix("_total")
        for name in re.findall(r"^# TYPE (mmplatform_\w+)", page, re.MULTILINE)
        if not name.endswith("_created")
    }
