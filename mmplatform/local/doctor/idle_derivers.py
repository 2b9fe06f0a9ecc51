"""Finds idle derivers: a modality with more processes than its topic has topic partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmplatform.errors import PlatformError
from mmplatform.events import Modality
from mmplatform.kafka.partitions import topic_states
from mmplatform.kafka.reader import ReplayLog
from mmplatform.local.run_file import StackRun
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings


def count_derivers(services: Iterable[str]) -> dict[Modality, int]:
    """Count the derivers of each modality by the names of services, such as ``derive-chat-1``."""
    names = list(services)
    return {
        modality: sum(name == spec.group or name.startswith(f"{spec.group}-") for name in names)
        for modality, spec in MODALITIES.items()
    }


def count_derivers_and_partitions(settings: Settings, run: StackRun) -> dict[Modality, tuple[int, int]]:
    """Count derivers and topic partitions of each modality of a running stack; empty when its log does not answer."""
    addressed = settings.model_copy(update={"kafka_bootstrap_servers": run.kafka})
    try:
        with ReplayLog(addressed, timeout_s=3.0) as log:
            topic_partitions = {state.modality: state.topic_partitions for state in topic_states(settings, log)}
    except PlatformError:
        return {}
    return {modality: (count, topic_partitions[modality]) for modality, count in count_derivers(run.services).items()}


def idle_derivers(found: Mapping[Modality, tuple[int, int]]) -> dict[Modality, int]:
    """Count the derivers without a topic partition, for modalities that have any."""
    return {modality: derivers - parts for modality, (derivers, parts) in found.items() if derivers > parts}
