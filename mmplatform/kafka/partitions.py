"""Topic partitions of each modality: their state, and an increase of their count.

A modality's topic can have as many active derivers as topic partitions. A conversation's topic partition is
``hash(id) % count``. Changing the count moves nearly every conversation, while its old records stay, and topic
partitions are not consumed in step. So the count is increased only while the modality has no lag, and for calls only
while no call is open: call state belongs to a topic partition and does not move. The sources cannot be paused from
here, so events that arrive between the check and the increase are reported afterwards.

Only topics of events are increased. On ``artifacts`` a retraction counts by its offset against that of the retracted
record, so both must stay in one topic partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from mmplatform.errors import Misconfigured, Permanent, Rejected, Unavailable
from mmplatform.events import Modality, utc_now
from mmplatform.kafka.connection import platform_error
from mmplatform.kafka.reader import Watermarks
from mmplatform.kafka.topics import deriver_group, topic_name
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings
from quality.contracts import ContractLimits

MAX_TOPIC_PARTITIONS: Final = 1000
_MARGIN_S: Final = 5.0
"""Added to the idle timeout of a call: time to write its end onto the log, and to derive it."""

_MAX_CHUNK_S: Final = ContractLimits().max_chunk_s
"""Added to the idle timeout of a call: a chunk is sent when its audio is over, so this pause is no silence yet."""

_TIMEOUT_S: Final = 30.0


class TopicReader(Protocol):
    """The part of :class:`~mmplatform.kafka.reader.ReplayLog` that this module uses."""

    def lag(self, group: str, topics: list[str]) -> Mapping[str, Mapping[int, int]]:
        """Records behind, by topic and topic partition. Raises Unavailable, Misconfigured."""

    def watermarks(self, topics: list[str]) -> Mapping[str, Mapping[int, Watermarks]]:
        """First and next offsets. Raises Unavailable, Misconfigured."""

    def newest_record_at(self, topic: str) -> datetime | None:
        """Timestamp of the newest record; None: the topic is empty. Raises Unavailable, Misconfigured."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """One modality's topic: the number of topic partitions, the records in them, and the lag of its derivers."""

    modality: Modality
    topic: str
    topic_partitions: int
    records: int
    lag: int


def topic_states(settings: Settings, log: TopicReader) -> list[TopicState]:
    """State of each topic of events. Raises Unavailable, Misconfigured."""
    states = []
    for modality, spec in MODALITIES.items():
        topic = topic_name(settings, spec.topic)
        watermarks = log.watermarks([topic])[topic]
        lag = sum(log.lag(deriver_group(settings, modality), [topic])[topic].values())
        records = sum(high - low for low, high in watermarks.values())
        states.append(TopicState(modality, topic, len(watermarks), records, lag))
    return states


def parse_partition_count(text: str) -> tuple[Modality, int]:
    """Parse ``chat=16``. Raises Misconfigured."""
    name, _, number = text.partition("=")
    modalities = {str(modality): modality for modality in MODALITIES}
    modality = modalities.get(name.strip())
    if modality is None or not number.strip().isdecimal() or not 1 <= int(number) <= MAX_TOPIC_PARTITIONS:
        raise Misconfigured(
            f"--partitions: `{text}` is not one of {', '.join(modalities)} with a number from 1 to "
            f"{MAX_TOPIC_PARTITIONS}: write `chat=16`"
        )
    return modality, int(number)


def increase_partitions(
    settings: Settings, modality: Modality, wanted: int, log: TopicReader, client: AdminClient
) -> int:
    """Increase the topic partitions of a modality's topic to ``wanted``; returns the count before.

    Raises:
        Rejected: the topic has more: the count is never lowered.
        Unavailable: the modality has lag, or a call may be open; or the broker does not answer.
        Permanent: the count was increased, and events arrived meanwhile.
        Misconfigured: the topic does not exist, or the broker refuses.
    """
    written_before = _count_written(settings, modality, log)
    state = next(state for state in topic_states(settings, log) if state.modality == modality)
    if wanted < state.topic_partitions:
        raise Rejected(
            f"{state.topic} has {state.topic_partitions} topic partitions, and their number is never lowered: the "
            "records in the last ones would be lost"
        )
    if wanted == state.topic_partitions:
        return wanted
    _check_idle(settings, state, log)
    # Changelogs first: a deriver opens the state of a new topic partition at once.
    _create_partitions(client, [*_changelog_topics(settings, state, client), state.topic], wanted)
    # A cluster may briefly report no leader for a new topic partition.
    retrying = Retrying(
        retry=retry_if_exception_type((Unavailable, Misconfigured)),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(_TIMEOUT_S),
        reraise=True,
    )
    if arrived := retrying(_count_written, settings, modality, log) - written_before:
        raise Permanent(
            f"{state.topic} has {wanted} topic partitions now, but {arrived} events arrived during the increase. New "
            "events of their conversations may be derived before older ones, and an open call starts again after a "
            "gap. Pause the sources, let the derivers catch up, run `mmplatform restart`, and reprocess this hour. "
            "Pause the sources before the next increase"
        )
    return state.topic_partitions


def _count_written(settings: Settings, modality: Modality, log: TopicReader) -> int:
    """Number of events ever written to a modality's topic: expiry does not lower it."""
    topic = topic_name(settings, MODALITIES[modality].topic)
    return sum(high for _, high in log.watermarks([topic])[topic].values())


def _check_idle(settings: Settings, state: TopicState, log: TopicReader) -> None:
    if state.lag:
        raise Unavailable(
            f"{state.lag} events of {state.topic} are not derived yet, and later ones of the same conversations would "
            "overtake them: pause the sources, let the derivers catch up, and run this again"
        )
    newest = log.newest_record_at(state.topic) if state.modality == "call" else None
    quiet_s = settings.call_idle_timeout_s + _MAX_CHUNK_S + _MARGIN_S
    if newest is not None and (utc_now() - newest).total_seconds() < quiet_s:
        raise Unavailable(
            "a call may be open, and its state would stay behind in its old topic partition: run this again when "
            f"{quiet_s:.0f} s have passed without a chunk or an end of a call"
        )


def _changelog_topics(settings: Settings, state: TopicState, client: AdminClient) -> list[str]:
    """Changelogs of the derivers' state, which have as many topic partitions as the topic."""
    prefix = f"changelog__{deriver_group(settings, state.modality)}--{state.topic}--"
    try:
        existing = client.list_topics(timeout=_TIMEOUT_S).topics
    except KafkaException as error:
        raise platform_error(error, "asking the broker for its topics") from error
    return [
        name
        for name, topic in existing.items()
        if name.startswith(prefix) and len(topic.partitions) == state.topic_partitions
    ]


def _create_partitions(client: AdminClient, topics: list[str], wanted: int) -> None:
    for topic in topics:
        try:
            futures = client.create_partitions([NewPartitions(topic, wanted)], request_timeout=_TIMEOUT_S)
            futures[topic].result()
        except KafkaException as error:
            raise platform_error(error, f"increasing the topic partitions of {topic}") from error
