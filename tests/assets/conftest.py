"""The real stores that checks read: Iceberg in files, a broker and a Chroma server."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, TopicPartition

from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.topics import ensure_topics
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from tests.land.records import position
from tests.servers.broker import any_broker
from tests.servers.chroma import running_chroma


@pytest.fixture(scope="package")
def broker(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as address:
        yield address


@pytest.fixture(scope="package")
def chroma(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield address


class Stores:
    """Writes records into the stores; every test has topics, tables and collections of its own."""

    def __init__(self, settings):
        self.settings = settings
        self.lakehouse = Lakehouse.open(settings)
        self.lakehouse.ensure_tables()
        self._landed = 0

    def land(self, *records, topic="artifacts", offset=None):
        """Land records as rows of their tables."""
        for record in records:
            self._landed += 1
            log_position = position(self._landed if offset is None else offset, topic=topic)
            table, row = record_to_row(record, log_position)
            self.lakehouse.append(table, [(log_position, row)], offsets={}, source="test")

    def index(self, *passages, at):
        index = ChromaIndex.open(self.settings)
        index.upsert(passages, at)
        index.close()

    def send(self, topic, count=1):
        """Send unread records."""
        producer = LogProducer(self.settings)
        for _ in range(count):
            producer.send(f"{self.settings.topic_prefix}{topic}", "c", b"{}").result(20)
        producer.close()

    def commit(self, group, topic, offset):
        """Commit an offset of a group."""
        prefix = self.settings.topic_prefix
        consumer = Consumer(
            {"bootstrap.servers": self.settings.kafka_bootstrap_servers, "group.id": f"{prefix}{group}"}
        )
        consumer.commit(offsets=[TopicPartition(f"{prefix}{topic}", 0, offset)], asynchronous=False)
        consumer.close()


@pytest.fixture
def settings(tmp_path, broker, chroma, monkeypatch):
    given = {
        "data_dir": str(tmp_path),
        "kafka_bootstrap_servers": broker,
        "chroma_url": chroma,
        "topic_partitions": "1",
        "topic_prefix": f"{tmp_path.name.strip('_')}-",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"MMPLATFORM_{name.upper()}", value)
    settings = load()
    ensure_topics(settings)
    index = ChromaIndex.open(settings)
    for each in index.list_collections():
        index.client().delete_collection(each.name)
    index.close()
    return settings


@pytest.fixture
def stores(settings):
    return Stores(settings)
