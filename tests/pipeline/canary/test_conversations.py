"""Canaries take turns over the topic partitions, by the hash that every producer has."""

from __future__ import annotations

from mmplatform.identity import CANARY_TENANT, conversation_key
from mmplatform.kafka.partitioner import topic_partition_of_key
from mmplatform.pipeline.canary.conversations import REFRESH_S, TopicPartitions


def number(conversation_id, count):
    return topic_partition_of_key(conversation_key(CANARY_TENANT, "canary", conversation_id), count)


def test_each_turn_goes_to_the_next_topic_partition():
    partitions = TopicPartitions(lambda: 4, "canary")
    names = [partitions.next_conversation("canary-x") for _ in range(8)]
    assert [number(name, 4) for name in names] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert names[:4] == names[4:]


def test_topic_partitions_that_were_raised_are_found_after_a_while():
    now, count = [0.0], [1]
    partitions = TopicPartitions(lambda: count[0], "canary", clock=lambda: now[0])
    assert number(partitions.next_conversation("c"), 1) == 0
    count[0], now[0] = 3, REFRESH_S + 1
    assert {number(partitions.next_conversation("c"), 3) for _ in range(3)} == {0, 1, 2}
