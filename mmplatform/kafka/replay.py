"""Replay for a consumer group of one's own: sets the offsets from which it reads a topic on.

Kafka's consumers begin at the offsets that their group has committed. So a replay commits them before the first member
joins. The broker refuses that commit while the group has members, so none of them is set back under its feet.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from mmplatform.errors import Rejected
from mmplatform.kafka.connection import admin_client, client_config, create_client, platform_error
from mmplatform.kafka.reader import ReadBound, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import (
    ARCHIVE_GROUP,
    ARTIFACTS_TOPIC,
    DEAD_LETTERS_TOPIC,
    INDEX_GROUP,
    MODALITIES,
    QUARANTINE_TOPIC,
)
from mmplatform.settings import Settings

EARLIEST: Final = "earliest"
LATEST: Final = "latest"
_TIMEOUT_S: Final = 20.0
_NOT_EMPTY: Final = {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.ILLEGAL_GENERATION}

ReplayBound = int | datetime | str
"""An offset of every topic partition, a time of append, ``earliest`` or ``latest``."""


class PartitionReplay(NamedTuple):
    """Replay of one topic partition.

    Attributes:
        offset: the first offset to read.
        end: the offset before which the replay ends; the consumer itself stops there, or reads on.
        expired: records between the wanted offset and the first one that the log still has.
    """

    topic: str
    topic_partition: int
    offset: int
    end: int
    expired: int = 0

    @property
    def records(self) -> int:
        """Offsets to read; transaction markers and aborted records have one too."""
        return max(self.end - self.offset, 0)


def parse_replay_bound(text: str) -> ReplayBound:
    """Parse ``earliest``, ``latest``, an offset, or a time in ISO 8601 with its zone. Raises Rejected."""
    if text in {EARLIEST, LATEST}:
        return text
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected(
            f"{text!r} is neither a time nor an offset: write 2026-11-30T12:00Z, 1200, {EARLIEST} or {LATEST}"
        ) from None
    if moment.tzinfo is None:
        raise Rejected(f"{text!r} has no zone: append Z for UTC, or an offset such as +02:00")
    return moment


def resolve_topic(settings: Settings, name: str) -> str:
    """The topic on the broker: a modality (``chat``, ``chats``), a topic of the platform, or any full name."""
    by_modality: dict[str, str] = {modality: spec.topic for modality, spec in MODALITIES.items()}
    own = by_modality | {f"{modality}s": topic for modality, topic in by_modality.items()}
    own |= {topic: topic for topic in (*by_modality.values(), ARTIFACTS_TOPIC, QUARANTINE_TOPIC, DEAD_LETTERS_TOPIC)}
    return topic_name(settings, own[name]) if name in own else name


def check_group(settings: Settings, group: str) -> None:
    """Raise Rejected for a group of the platform's own workers, with the verb that fills its store again."""
    remedies = {
        INDEX_GROUP: "a lost index is filled by `mmplatform index rebuild`, one bucket by `--bucket`",
        ARCHIVE_GROUP: "a lost lakehouse is filled by `mmplatform lakehouse rebuild`",
        **{
            spec.group: f"an hour is derived again by `mmplatform reprocess {spec.derived_table} HOUR`"
            for spec in MODALITIES.values()
        },
    }
    for name, remedy in remedies.items():
        if group == f"{settings.topic_prefix}{name}":
            raise Rejected(f"{group} is the group of a worker, whose offsets stay: {remedy}")


def plan_replay(log: ReplayLog, topic: str, since: ReplayBound, until: ReplayBound = LATEST) -> list[PartitionReplay]:
    """The offsets of a replay, by topic partition; nothing is changed.

    Raises:
        Rejected: an offset lies beyond the end of every topic partition, or the end before the start.
        Unavailable: the broker does not answer.
        Misconfigured: the topic does not exist.
    """
    watermarks = log.watermarks([topic])[topic]
    lows = {number: low for number, (low, _) in watermarks.items()}
    highs = {number: high for number, (_, high) in watermarks.items()}
    starts, ends = (_offsets(log, topic, bound, lows, highs) for bound in (since, until))
    if isinstance(since, int) and since > max(highs.values(), default=0):
        raise Rejected(f"{topic} has no offset {since}: its topic partitions end at {max(highs.values(), default=0)}")
    plan = []
    for number, low in lows.items():
        offset = min(max(starts[number], low), highs[number])
        end = min(max(ends[number], low), highs[number])
        plan.append(PartitionReplay(topic, number, offset, end, max(low - starts[number], 0)))
    if plan and all(part.end < part.offset for part in plan):
        raise Rejected("the replay ends before it starts: give a later --to")
    return plan


def _offsets(
    log: ReplayLog, topic: str, bound: ReplayBound, lows: dict[int, int], highs: dict[int, int]
) -> dict[int, int]:
    if isinstance(bound, str):
        return lows if bound == EARLIEST else highs
    wanted: ReadBound = dict.fromkeys(lows, bound) if isinstance(bound, int) else bound
    return log.resolve_bound(topic, wanted, lows)


def commit_replay(settings: Settings, group: str, plan: Sequence[PartitionReplay], *, overwrite: bool = False) -> None:
    """Commit the offsets of a replay for a group without members.

    Raises:
        Rejected: the group is that of a worker, or has members, or has offsets of these topics without ``overwrite``.
        Unavailable: the broker does not answer.
        Misconfigured: the broker refuses the group, for example by its rights.
    """
    check_group(settings, group)
    if members := count_members(settings, group):
        raise Rejected(f"group {group} has {members} live members, which would go on where they are: stop them first")
    config = client_config(settings) | {"group.id": group, "enable.auto.commit": False}
    action = f"setting the offsets of group {group}"
    try:
        with closing(create_client(Consumer, config)) as consumer:
            named = [TopicPartition(part.topic, part.topic_partition) for part in plan]
            committed = [found for found in consumer.committed(named, timeout=_TIMEOUT_S) if found.offset >= 0]
            if committed and not overwrite:
                raise Rejected(
                    f"group {group} has read {committed[0].topic} before, up to offset {committed[0].offset} of topic "
                    f"partition {committed[0].partition}: name a fresh group, or give --overwrite"
                )
            wanted = [TopicPartition(part.topic, part.topic_partition, part.offset) for part in plan]
            consumer.commit(offsets=wanted, asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() in _NOT_EMPTY:
            raise Rejected(f"group {group} has got members meanwhile: stop them first") from None
        raise platform_error(error, action) from error


def count_members(settings: Settings, group: str) -> int:
    """Live members of a group; none for an unknown one. Raises Unavailable, Misconfigured."""
    admin = admin_client(settings)
    try:
        described = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT_S)[group].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise platform_error(error, f"asking for the members of group {group}") from error
    return len(described.members)
