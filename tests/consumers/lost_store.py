"""A log with the archiver's committed offsets, and the tables that are rebuilt from it."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from mmplatform.consumers.rebuild_lakehouse import rebuild_from_log
from mmplatform.events import EventBase, Position, encode
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.headers import Pseudonyms, event_headers, output_headers
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARCHIVE_GROUP, CHAT

PSEUDONYMS = Pseudonyms(b"key of the tests")


def _headers(record):
    if isinstance(record, EventBase):
        return event_headers(record, PSEUDONYMS)
    return output_headers(record, PSEUDONYMS)


def completed_by(artifact, offset: int, derivation: int = 0):
    """The artifact in the version of another event, or of a reprocessing run."""
    origin = artifact.provenance
    place = origin.position.model_copy(update={"offset": offset})
    return artifact.model_copy(
        update={"provenance": origin.model_copy(update={"position": place, "derivation": derivation})}
    )


class World:
    """A log with the archiver's committed offsets, and the tables."""

    def __init__(self, settings):
        self.settings = settings
        ensure_topics(settings)
        self.log = ReplayLog(settings)
        self.lakehouse = Lakehouse.open(settings)
        self.lakehouse.ensure_tables()

    def write(self, topic, *records) -> list[Position]:
        producer = LogProducer(self.settings)
        try:
            name = topic_name(self.settings, topic)
            return [
                producer.send(name, record.conversation_key, encode(record), headers=_headers(record)).result(30)
                for record in records
            ]
        finally:
            producer.close()

    def archived(self, *positions: Position) -> None:
        """Commit these positions for the archiver, each the last of its topic partition."""
        group = f"{self.settings.topic_prefix}{ARCHIVE_GROUP}"
        consumer = Consumer(client_config(self.settings) | {"group.id": group, "enable.auto.commit": False})
        ends = [TopicPartition(position.topic, position.topic_partition, position.offset + 1) for position in positions]
        consumer.commit(offsets=ends, asynchronous=False)
        consumer.close()

    def rows(self, table) -> dict[str, str]:
        """Texts by id; a duplicate row fails."""
        found = self.lakehouse.table(table).scan().to_arrow().to_pylist()
        column = "event_id" if table.startswith("raw") else "artifact_id"
        assert len({row[column] for row in found}) == len(found)
        return {row[column]: row["text"] for row in found}

    def rebuild(self, meanwhile=lambda: None):
        """Rebuild; ``meanwhile`` runs when the first chats have landed, and no artifact yet."""
        happened = []

        def progress(topic, _done, _total):
            if topic == CHAT.topic and not happened:
                happened.append(meanwhile())

        return rebuild_from_log(self.settings, self.lakehouse, self.log, progress)
