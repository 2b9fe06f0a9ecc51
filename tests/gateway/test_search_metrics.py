"""Metrics of a gateway's search."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client import CollectorRegistry

from mmplatform.gateway.search_metrics import RetrievableGaps, TailCollector
from mmplatform.retrieve.tail.follower import TailFigures
from mmplatform.retrieve.tail.tail import TailState
from tests.land.records import NOON, passage

GAP = "mmplatform_gateway_retrievable_gap_seconds"


def test_a_gap_is_recorded_by_modality_and_that_of_a_run_is_not():
    registry = CollectorRegistry()
    gaps = RetrievableGaps(registry)
    live = passage(1)
    run = live.model_copy(update={"provenance": live.provenance.model_copy(update={"derivation": 1})})
    for record, seconds in ((live, 2), (live, 4), (run, 9_000)):
        gaps.record(record, NOON + timedelta(seconds=seconds))
    assert registry.get_sample_value(f"{GAP}_count", {"modality": "chat"}) == 2
    assert registry.get_sample_value(f"{GAP}_sum", {"modality": "chat"}) == 6


def test_the_figures_of_the_tail_and_the_waits_are_gauges_and_none_while_it_is_off():
    registry = CollectorRegistry()
    figures = [(TailFigures(TailState.FULL, 3, 4_000, 7, 1), 5)]
    registry.register(TailCollector(lambda: figures[0]))
    names = ("tail_entries", "tail_bytes", "tail_lag", "tail_unreadable", "tail_current", "fence_waits")
    found = {name: registry.get_sample_value(f"mmplatform_gateway_{name}") for name in names}
    assert list(found.values()) == [3, 4_000, 7, 1, 0, 5]
    figures[0] = None
    assert registry.get_sample_value("mmplatform_gateway_tail_entries") is None
