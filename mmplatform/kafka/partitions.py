"""How many topic partitions each modality has, and more of them for a modality.

As many derivers of a modality can work at once as its topic has topic partitions. A record's topic partition is the
hash of its conversation, modulo their number: with another number nearly every conversation moves. What lies in the old
one stays there, and nobody keeps two topic partitions in step. So a number is raised only while nothing of the modality
waits, and for calls only while none is open: the state of a call lies by topic partition, and does not move with it.
Nobody can hold the sources from here, so what came between the look and the growth is told afterwards.

Only the topics of events are raised. On ``artifacts`` a retraction counts by its offset against that of what it takes
back, which must lie in one topic partition for ever.
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
from quality.contracts import Limits

MOST: Final = 1000
_MARGIN_S: Final = 5.0
"""After the silence that ends a call: its end is put onto the log, and derived."""

_LONGEST_CHUNK_S: Final = Limits().max_chunk_s
"""Only what passes after this is silence of the source: the next piece comes as much later as it lasts."""

_TIMEOUT_S: Final = 30.0


class LogView(Protocol):
    """The part of :class:`~mmplatform.kafka.reader.ReplayLog` that is asked here."""

    def lag(self, group: str, topics: list[str]) -> Mapping[str, Mapping[int, int]]:
        """Records behind, by topic and topic partition. Raises Unavailable, Misconfigured."""

    def watermarks(self, topics: list[str]) -> Mapping[str, Mapping[int, Watermarks]]:
        """First and next offsets. Raises Unavailable, Misconfigured."""

    def newest(self, topic: str) -> datetime | None:
        """When the newest record was written; None: there is none. Raises Unavailable, Misconfigured."""


@dataclass(frozen=True, slots=True)
class Stand:
    """One modality's topic: its topic partitions, the records in them, and how many its derivers are behind."""

    modality: Modality
    topic: str
    topic_partitions: int
    records: int
    lag: int


def stands(settings: Settings, log: LogView) -> list[Stand]:
    """How the topics of events stand. Raises Unavailable, Misconfigured."""
    found = []
    for modality, spec in MODALITIES.items():
        topic = topic_name(settings, spec.topic)
        marks = log.watermarks([topic])[topic]
        lag = sum(log.lag(deriver_group(settings, modality), [topic])[topic].values())
        records = sum(mark.high - mark.low for mark in marks.values())
        found.append(Stand(modality, topic, len(marks), records, lag))
    return found


def parse_raise(text: str) -> tuple[Modality, int]:
    """Read ``chat=16``. Raises Misconfigured."""
    name, _, number = text.partition("=")
    known = {str(modality): modality for modality in MODALITIES}
    modality = known.get(name.strip())
    if modality is None or not number.strip().isdecimal() or not 1 <= int(number) <= MOST:
        raise Misconfigured(
            f"--raise: `{text}` is not one of {', '.join(known)} with a number from 1 to {MOST}: write `chat=16`"
        )
    return modality, int(number)


def raise_partitions(settings: Settings, modality: Modality, wanted: int, log: LogView, client: AdminClient) -> int:
    """Give a modality's topic so many topic partitions; how many it had.

    Raises:
        Rejected: it has more: their number is never lowered.
        Unavailable: something of the modality waits, or a call may be open; or the broker does not answer.
        Permanent: it was raised, and events came meanwhile.
        Misconfigured: there is no such topic, or the broker refuses.
    """
    before = _written(settings, modality, log)
    stand = next(each for each in stands(settings, log) if each.modality == modality)
    if wanted < stand.topic_partitions:
        raise Rejected(
            f"{stand.topic} has {stand.topic_partitions} topic partitions, and their number is never lowered: what lies"
            " in the last ones would be lost"
        )
    if wanted == stand.topic_partitions:
        return wanted
    _at_rest(settings, stand, log)
    # The state first: a deriver that gets a new topic partition looks for its state at once.
    _grow(client, [*_states(settings, stand, client), stand.topic], wanted)
    # Of a topic partition that is new, a cluster may say for a moment that nobody leads it.
    asking = Retrying(
        retry=retry_if_exception_type((Unavailable, Misconfigured)),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(_TIMEOUT_S),
        reraise=True,
    )
    if came := asking(_written, settings, modality, log) - before:
        raise Permanent(
            f"{stand.topic} has {wanted} topic partitions now, but {came} events came while it was raised: of their "
            "conversations, what is new may be derived before what is old, and a call that was open is begun anew "
            "behind a gap. Hold the sources, let the derivers catch up, run `mmplatform restart`, and reprocess this "
            "hour; hold them before the next time"
        )
    return stand.topic_partitions


def _written(settings: Settings, modality: Modality, log: LogView) -> int:
    """Events that were ever written to a modality's topic: what expires does not lower it."""
    topic = topic_name(settings, MODALITIES[modality].topic)
    return sum(mark.high for mark in log.watermarks([topic])[topic].values())


def _at_rest(settings: Settings, stand: Stand, log: LogView) -> None:
    if stand.lag:
        raise Unavailable(
            f"{stand.lag} events of {stand.topic} are not derived yet, and later ones of the same conversations would "
            "overtake them: hold the sources, let the derivers catch up, and run this again"
        )
    newest = log.newest(stand.topic) if stand.modality == "call" else None
    quiet_s = settings.call_idle_s + _LONGEST_CHUNK_S + _MARGIN_S
    if newest is not None and (utc_now() - newest).total_seconds() < quiet_s:
        raise Unavailable(
            "a call may be open, and its state would stay behind in its old topic partition: run this again when "
            f"{quiet_s:.0f} s have passed without a piece or an end of one"
        )


def _states(settings: Settings, stand: Stand, client: AdminClient) -> list[str]:
    """The changelogs of the derivers' state, which have as many topic partitions as the topic."""
    prefix = f"changelog__{deriver_group(settings, stand.modality)}--{stand.topic}--"
    try:
        there = client.list_topics(timeout=_TIMEOUT_S).topics
    except KafkaException as error:
        raise platform_error(error, "asking the broker for its topics") from error
    return [name for name in there if name.startswith(prefix) and len(there[name].partitions) == stand.topic_partitions]


def _grow(client: AdminClient, topics: list[str], wanted: int) -> None:
    for topic in topics:
        try:
            futures = client.create_partitions([NewPartitions(topic, wanted)], request_timeout=_TIMEOUT_S)
            futures[topic].result()
        except KafkaException as error:
            raise platform_error(error, f"raising the topic partitions of {topic}") from error
