"""The follower on a real broker: the tail is what the index has not committed, whatever happens to either."""

from __future__ import annotations

import uuid
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewPartitions

from mmplatform.kafka.connection import admin_client, client_config
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, INDEX_GROUP
from mmplatform.pipeline.process import Outcome
from mmplatform.pipeline.publish import publish as write
from mmplatform.retrieve.tail.follower import TailFollower
from mmplatform.retrieve.tail.tail import Tail, TailState
from mmplatform.settings import load
from tests.land.records import message, passage, retraction
from tests.servers.broker import any_broker, broker_process
from tests.servers.process import free_ports
from tests.waiting import eventually

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


@pytest.fixture
def settings(address):
    prefix = f"t{uuid.uuid4().hex[:8]}."
    settings = load(kafka_bootstrap_servers=address, topic_prefix=prefix, topic_partitions=1)
    ensure_topics(settings)
    return settings


@contextmanager
def following(settings, max_bytes=1 << 20):
    tail = Tail(max_bytes)
    follower = TailFollower(settings.model_copy(update={"tail_max_bytes": max_bytes}), tail)
    follower.start()
    try:
        yield tail, follower
    finally:
        follower.close()


def publish(settings, *artifacts):
    with closing(LogProducer(settings)) as producer:
        write(Outcome(artifacts=artifacts), producer, settings)


def commit(settings, offset, number=0):
    group = f"{settings.topic_prefix}{INDEX_GROUP}"
    with closing(Consumer(client_config(settings) | {"group.id": group, "enable.auto.commit": False})) as consumer:
        topic = topic_name(settings, ARTIFACTS_TOPIC)
        consumer.commit(offsets=[TopicPartition(topic, number, offset)], asynchronous=False)


def ids(tail):
    return set(tail._entries)


def test_the_tail_has_what_the_index_has_not_committed(settings):
    first, second, third = (passage(number) for number in range(3))
    publish(settings, first, second)
    commit(settings, 1)
    with following(settings) as (tail, follower):
        eventually(lambda: ids(tail) == {second.artifact_id})
        publish(settings, message(7), third)
        eventually(lambda: ids(tail) == {second.artifact_id, third.artifact_id})
        eventually(lambda: follower.state is TailState.CURRENT)
        commit(settings, 4)
        eventually(lambda: not ids(tail))
        publish(settings, retraction(first))
        eventually(lambda: ids(tail) == {first.artifact_id})
        assert follower.figures().lag == 0


def test_topic_partitions_that_come_later_are_followed_too(settings):
    topic = topic_name(settings, ARTIFACTS_TOPIC)
    with following(settings) as (tail, follower):
        eventually(lambda: follower.state is TailState.CURRENT)
        client = admin_client(settings)  # the future fails when its client is collected
        client.create_partitions([NewPartitions(topic, 3)])[topic].result(30)
        passages = [passage(number, subject=f"subject {number}") for number in range(12)]
        publish(settings, *passages)
        eventually(lambda: ids(tail) == {each.artifact_id for each in passages})


def test_an_index_that_goes_back_takes_the_tail_with_it(settings):
    passages = [passage(number) for number in range(4)]
    publish(settings, *passages)
    commit(settings, 4)
    with following(settings) as (tail, follower):
        eventually(lambda: follower.state is TailState.CURRENT)
        assert not ids(tail)
        commit(settings, 1)
        eventually(lambda: ids(tail) == {each.artifact_id for each in passages[1:]})
        eventually(lambda: follower.state is TailState.CURRENT)


def test_over_its_bound_it_stops_reading_and_says_so_until_the_index_has_caught_up(settings):
    passages = [passage(number, text=f"{number}" * 20_000) for number in range(40)]
    with following(settings, max_bytes=200_000) as (tail, follower):
        for each in passages:
            publish(settings, each)
            if tail.full:
                break
        eventually(lambda: follower.state is TailState.FULL)
        publish(settings, *passages)
        eventually(lambda: follower.figures().lag > 0)
        commit(settings, 1)
        eventually(lambda: not tail.full)
        assert follower.state is TailState.FULL, "it reads nothing until a fifth of the memory is free"
        assert len(tail) < len(passages)
        for offset in range(4, 200, 4):
            commit(settings, offset)
            if offset >= _end(settings):
                break
        eventually(lambda: follower.state is TailState.CURRENT and follower.figures().lag == 0)


def _end(settings):
    topic = topic_name(settings, ARTIFACTS_TOPIC)
    with ReplayLog(settings) as log:
        return log.watermarks([topic])[topic][0].high


def test_a_record_that_is_no_artifact_is_passed_over_and_counted(settings):
    topic = topic_name(settings, ARTIFACTS_TOPIC)
    with following(settings) as (tail, follower):
        with closing(LogProducer(settings)) as producer:
            producer.send_all(
                [LogRecord(topic, b"k", b"{not json"), LogRecord(topic, None, b"", headers={"kind": b"passage"})]
            )
        publish(settings, passage(1))
        eventually(lambda: ids(tail) == {passage(1).artifact_id})
        assert follower.figures().unreadable == 2


def test_while_the_broker_is_away_the_tail_stays_and_says_so(tmp_path):
    (port,) = free_ports(1)
    settings = load(kafka_bootstrap_servers=f"127.0.0.1:{port}", topic_partitions=1)
    with following(settings) as (tail, follower):
        assert follower.state is TailState.UNAVAILABLE
        with broker_process(tmp_path, port):
            ensure_topics(settings)
            publish(settings, passage(1))
            eventually(lambda: follower.state is TailState.CURRENT)
            assert ids(tail) == {passage(1).artifact_id}
        eventually(lambda: follower.state is TailState.UNAVAILABLE)
        assert ids(tail) == {passage(1).artifact_id}
        with broker_process(tmp_path, port):
            publish(settings, passage(2))
            eventually(lambda: ids(tail) == {passage(1).artifact_id, passage(2).artifact_id})
            eventually(lambda: follower.state is TailState.CURRENT)
