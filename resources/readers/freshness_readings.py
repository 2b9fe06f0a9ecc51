"""Each modality's freshness as the running stack measures it: the index worker's figures and the log's backlog."""

from __future__ import annotations

from mmplatform.modalities import ARTIFACTS_TOPIC, INDEX_GROUP, MODALITIES
from quality.checks.freshness_breach import Reading, Stage
from resources.stack import Reader, StackResource

_INDEXER = Reader(INDEX_GROUP, ARTIFACTS_TOPIC)


def readings(stack: StackResource) -> dict[str, Reading]:
    """The reading of each modality.

    What waits for the indexer counts for every modality: the topic is one, and who is first in it is held up.

    Raises:
        Unavailable: the log or the index worker does not answer; the message says which.
        Misconfigured: a setting is wrong, or the topics were never made.
    """
    backlogs = stack.backlog([*(Reader(spec.group, spec.topic) for spec in MODALITIES.values()), _INDEXER])
    measured = stack.measured().freshness
    found: dict[str, Reading] = {}
    for modality, spec in MODALITIES.items():
        own = measured.get(modality)
        shares = {} if own is None else {name: q.p95 for name, q in own.stages.items() if q.p95 is not None}
        stages = (
            Stage(spec.group, backlogs[Reader(spec.group, spec.topic)]),
            Stage(INDEX_GROUP, backlogs[_INDEXER]),
        )
        found[modality] = Reading(modality, own.gap.p99 if own is not None else None, shares, stages)
    return found
