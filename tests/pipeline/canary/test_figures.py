"""Figures of canaries: counts, gaps, and what Prometheus and the status page show."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from mmplatform.local.status.worker_status import WorkerStatusPayload
from mmplatform.modalities import MODALITIES
from mmplatform.pipeline.canary import figures as module
from mmplatform.pipeline.canary.claims import CLAIMS
from mmplatform.pipeline.canary.figures import CanaryFigures
from mmplatform.pipeline.canary.probe import OUTCOMES, CanaryReport, FalseReceipt
from mmplatform.telemetry.status_server import WorkerStatus


def test_a_false_claim_is_counted_once_for_the_canary_and_by_claim():
    registry = CollectorRegistry()
    figures = CanaryFigures(registry)
    figures.record(CanaryReport("chat", "found", 1, 0.25))
    figures.record_false_receipt(FalseReceipt("chat", frozenset({"fence"}), is_first=True))
    figures.record_false_receipt(FalseReceipt("chat", frozenset({"complete_until"}), is_first=False))
    figures.record(CanaryReport("chat", "missing", 2, None, frozenset({"fence", "complete_until"})))
    assert figures.false_receipts == 1
    for claim in ("fence", "complete_until"):
        labels = {"modality": "chat", "claim": claim}
        assert registry.get_sample_value("mmplatform_canary_false_receipts_total", labels) == 1
    outcomes = {name: registry.get_sample_value("mmplatform_canaries_total", {"modality": "chat", "outcome": name})
                for name in ("found", "missing")}  # fmt: skip
    assert outcomes == {"found": 1, "missing": 1}
    assert registry.get_sample_value("mmplatform_canary_gap_seconds_sum", {"modality": "chat"}) == 0.25


def test_the_status_page_has_the_figures_of_each_topic_partition_and_its_reader_knows_them():
    status = WorkerStatus("canary")
    assert status.as_json()["canaries"] == {}
    figures = CanaryFigures(status.registry)
    status.watch_canaries(figures.payload)
    figures.record(CanaryReport("call", "found", 0, 2.0))
    figures.record(CanaryReport("call", "missing", 0))
    figures.record(CanaryReport("call", "throttled"))
    read = WorkerStatusPayload.model_validate(status.as_json()).canaries["call"]
    assert read.outcomes == {"found": 1, "missing": 1, "throttled": 1}
    assert (read.gap.count, read.gap.p50, read.false_receipts) == (1, 2.0, 0)
    assert {number: last.outcome for number, last in read.topic_partitions.items()} == {"0": "missing"}


def test_a_new_process_exposes_every_count_at_zero_so_that_the_first_increase_is_seen():
    registry = CollectorRegistry()
    CanaryFigures(registry)
    counts = {("mmplatform_canaries_total", modality, name) for modality in MODALITIES for name in OUTCOMES}
    counts |= {("mmplatform_canary_false_receipts_total", modality, name) for modality in MODALITIES for name in CLAIMS}
    exposed = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert exposed == dict.fromkeys(counts, 0.0)


def test_a_false_receipt_is_recent_for_a_day_also_when_its_canary_has_not_ended(monkeypatch):
    figures = CanaryFigures()
    figures.record_false_receipt(FalseReceipt("chat", frozenset({"fence"}), is_first=True))
    assert figures.payload()["chat"]["recent_false_receipts"] == 1
    monkeypatch.setattr(module, "WINDOW_S", -1.0)
    assert figures.payload()["chat"]["recent_false_receipts"] == 0
    assert figures.payload()["chat"]["false_receipts"] == figures.false_receipts == 1
