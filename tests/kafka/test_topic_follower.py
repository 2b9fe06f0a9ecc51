"""One read of a follower: records, and the ends that were reached behind them."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from mmplatform.errors import Unavailable
from mmplatform.kafka.topic_follower import TopicFollower
from mmplatform.settings import load

EOF = KafkaError._PARTITION_EOF
DOWN = KafkaError._ALL_BROKERS_DOWN


class Message:
    def __init__(self, number, offset, code=None):
        self._key, self._offset, self._code = ("t", number), offset, code

    def topic(self):
        return self._key[0]

    def partition(self):
        return self._key[1]

    def offset(self):
        return self._offset

    def error(self):
        return None if self._code is None else KafkaError(self._code)


class Consumer:
    def __init__(self, *messages):
        self._messages = list(messages)

    def poll(self, _timeout):
        return self._messages.pop(0) if self._messages else None

    def consume(self, _count, _timeout):
        found, self._messages = self._messages, []
        return found


def read(*messages):
    follower = TopicFollower(load(kafka_bootstrap_servers="127.0.0.1:1"))
    client, follower._consumer = follower._consumer, Consumer(*messages)
    client.close()
    return follower.read(0.0)


def test_an_end_that_a_record_follows_is_none():
    batch = read(Message(0, 10, EOF), Message(0, 10), Message(1, 4, EOF))
    assert [message.offset() for message in batch.records] == [10]
    assert batch.ends == {("t", 1): 4}


def test_an_end_behind_records_is_reported():
    batch = read(Message(0, 10), Message(0, 11, EOF))
    assert batch.ends == {("t", 0): 11}


def test_a_broker_that_is_away_is_reported_unless_records_came_before():
    with pytest.raises(Unavailable):
        read(Message(0, 0, DOWN))
    assert len(read(Message(0, 3), Message(0, 0, DOWN)).records) == 1
    assert read() == ([], {})
