"""Freshness of each modality as the running stack measures it: the index worker's figures and the log's backlog."""

from __future__ import annotations

from mmplatform.modalities import INDEX_GROUP, MODALITIES
from quality.checks.freshness_breach import FreshnessReading, StageBacklog
from resources.readers.subscriptions import INDEXER
from resources.stack import StackResource, Subscription


def read_freshness(stack: StackResource) -> dict[str, FreshnessReading]:
    """The reading of each modality.

    The indexer's backlog counts for every modality: they share one topic, and a stalled record holds up all behind it.

    Raises:
        Unavailable: the log or the index worker does not answer; the message says which.
        Misconfigured: a setting is wrong, or the topics do not exist.
    """
    backlogs = stack.backlog([*(Subscription(spec.group, spec.topic) for spec in MODALITIES.values()), INDEXER])
    freshness = stack.index_worker_status().freshness
    readings: dict[str, FreshnessReading] = {}
    for modality, spec in MODALITIES.items():
        measured = freshness.get(modality)
        shares = {} if measured is None else {name: q.p95 for name, q in measured.stages.items() if q.p95 is not None}
        stages = (
            StageBacklog(spec.group, backlogs[Subscription(spec.group, spec.topic)]),
            StageBacklog(INDEX_GROUP, backlogs[INDEXER]),
        )
        p99_s = measured.gap.p99 if measured is not None else None
        readings[modality] = FreshnessReading(modality, p99_s, shares, stages)
    return readings
