"""A worker that comes back under its name behind a growth of its topic reads the topic partitions that are new."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions

from mmplatform.consumers.batch_sink import BatchSink
from mmplatform.consumers.quix_app import check_partition_count, open_app, open_topic
from mmplatform.errors import Unavailable
from mmplatform.events import encode
from mmplatform.kafka.connection import COMMON_CLIENT_CONFIG, admin_client, client_config
from mmplatform.kafka.topics import count_topic_partitions, ensure_topics, topic_name
from mmplatform.modalities import CHAT
from mmplatform.settings import Settings, load
from tests.builders import chat
from tests.servers.broker import any_broker

WANTED = 6


def write_everywhere(settings: Settings, number_of_topic_partitions: int) -> None:
    producer = Producer(client_config(settings))
    for number in range(number_of_topic_partitions):
        producer.produce(topic_name(settings, CHAT.topic), encode(chat(number)), partition=number)
    assert producer.flush(30) == 0


def read_from(settings: Settings, count: int) -> set[int]:
    """The topic partitions that a worker of one and the same name reads from, until it has read so many records."""
    read: list[int] = []

    def land(records) -> None:
        read.extend(record.position.topic_partition for record in records)
        if len(read) >= count:
            app.stop()

    app = open_app(settings, group=CHAT.group, topics=(CHAT.topic,), commit_interval_s=0.1, commit_every=64)
    app.dataframe(open_topic(app, settings, CHAT.topic)).sink(BatchSink(settings, land))
    app.run(timeout=30)  # of silence: what a worker that does not read them is told by
    return set(read)


@pytest.mark.broker
@pytest.mark.timeout(120)
def test_topic_partitions_that_are_new_are_read_by_a_worker_that_comes_back_behind_the_growth(tmp_path):
    with any_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", data_dir=tmp_path)
        ensure_topics(settings)
        before = count_topic_partitions(settings, (CHAT.topic,))
        assert before < WANTED
        write_everywhere(settings, before)
        assert read_from(settings, before) == set(range(before))
        name = topic_name(settings, CHAT.topic)
        client = admin_client(settings)  # kept: its futures end with it
        client.create_partitions([NewPartitions(name, WANTED)])[name].result(timeout=30)
        write_everywhere(settings, WANTED)
        assert read_from(settings, WANTED) == set(range(WANTED))


@pytest.mark.broker
def test_a_successor_whose_topics_grew_while_it_stood_by_starts_anew(tmp_path):
    with any_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", data_dir=tmp_path)
        ensure_topics(settings)
        app = open_app(settings, group=CHAT.group, topics=(CHAT.topic,), commit_interval_s=0.1, commit_every=1)
        check_partition_count(app, settings, (CHAT.topic,))
        name = topic_name(settings, CHAT.topic)
        client = admin_client(settings)
        client.create_partitions([NewPartitions(name, WANTED)])[name].result(timeout=30)
        with pytest.raises(Unavailable, match=f"grew from {app.partition_count} to {WANTED}"):
            check_partition_count(app, settings, (CHAT.topic,))


def test_a_worker_asks_for_new_topic_partitions_as_often_as_every_client(tmp_path):
    app = open_app(
        load(kafka_bootstrap_servers="127.0.0.1:1", data_dir=tmp_path),
        group="g",
        topics=(),
        commit_interval_s=0.1,
        commit_every=1,
    )
    config = app._consumer._consumer_config
    assert {name: config.get(name) for name in COMMON_CLIENT_CONFIG} == dict(COMMON_CLIENT_CONFIG)
