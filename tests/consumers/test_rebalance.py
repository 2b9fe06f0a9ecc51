"""A worker whose topic partitions go to another while a store's absence has paused them, and come back."""

from __future__ import annotations

import threading
import uuid

import pytest
from confluent_kafka import Consumer

from mmplatform.consumers.batch_sink import BatchSink
from mmplatform.consumers.quix_app import open_app, open_topic
from mmplatform.errors import Busy
from mmplatform.events import encode
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.modalities import CHAT
from mmplatform.settings import Settings, load
from tests.builders import chat
from tests.servers.broker import any_broker

EVENTS = 8
LONG_S = 3600.0
"""No pause of the test ends by itself."""


class Visitor(threading.Thread):
    """Another member of the group: comes, is given topic partitions, commits nothing and leaves."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self.was_given = threading.Event()

    def run(self) -> None:
        group = f"{self._settings.topic_prefix}{CHAT.group}"
        consumer = Consumer({**client_config(self._settings), "group.id": group, "session.timeout.ms": 6_000})
        consumer.subscribe([topic_name(self._settings, CHAT.topic)], on_assign=lambda *_: self.was_given.set())
        while not self.was_given.is_set():
            consumer.poll(0.1)
        consumer.close()


@pytest.mark.broker
@pytest.mark.timeout(120)
def test_topic_partitions_that_were_paused_when_they_went_away_are_read_when_they_come_back(tmp_path):
    with any_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", data_dir=tmp_path)
        ensure_topics(settings)
        producer = LogProducer(settings)
        name = topic_name(settings, CHAT.topic)
        for number in range(EVENTS):
            producer.send(name, f"conversation-{number}", encode(chat(number))).result(timeout=30)
        visitor = Visitor(settings)
        landed: set[tuple[int, int]] = set()

        def land(records) -> None:
            if not visitor.was_given.is_set():
                if not visitor.is_alive():
                    visitor.start()
                raise Busy("the store is away", retry_after=LONG_S)
            landed.update((record.position.topic_partition, record.position.offset) for record in records)
            if len(landed) == EVENTS:
                app.stop()

        app = open_app(settings, group=CHAT.group, topics=(CHAT.topic,), commit_interval_s=0.1, commit_every=64)
        app.dataframe(open_topic(app, settings, CHAT.topic)).sink(BatchSink(settings, land))
        app.run(timeout=30)  # of silence: what a worker that reads nothing is told by
        producer.close()
    assert visitor.was_given.is_set()
    assert len(landed) == EVENTS
