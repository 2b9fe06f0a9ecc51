"""What the platform asks of a Kafka broker, asked through confluent-kafka.

The suite runs against the embedded broker, or against the Kafka that MMPLATFORM_TEST_KAFKA=host:port names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from confluent_kafka import (
    OFFSET_END,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from tests.local.broker.clients import Clients, poll, unique, until
from tests.local.broker.running import BrokerProcess

pytestmark = pytest.mark.broker
FOREIGN = os.environ.get("MMPLATFORM_TEST_KAFKA", "")
# A Kafka looks at retention every five minutes by default; the embedded one is told to look every second here.
UPKEEP_S = 420.0 if FOREIGN else 20.0
EVENT_MS = 1_600_000_000_000
KEEP = {"retention.ms": "-1"}  # the events in these tests are old, and retention goes by their timestamps


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    if FOREIGN:
        yield Clients(FOREIGN)
        return
    with BrokerProcess(tmp_path_factory.mktemp("broker"), "--cleanup-interval", "0.5") as broker:
        yield Clients(broker.address)


def refused(future) -> int:
    """The protocol's error code of a refused admin call."""
    with pytest.raises(KafkaException) as refusal:
        future.result(20)
    return refusal.value.args[0].code()


def alter(kafka, topic, name, value, operation=AlterConfigOpType.SET):
    entry = ConfigEntry(name, value, incremental_operation=operation)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    return kafka.admin.incremental_alter_configs([resource])[resource]


# --- administration ----------------------------------------------------------------------------------------------


def test_a_created_topic_is_listed_with_its_partitions_and_one_leader(kafka):
    topic = kafka.topic(4)
    described = kafka.admin.describe_topics(TopicCollection([topic]))[topic].result(10)
    assert [partition.id for partition in described.partitions] == [0, 1, 2, 3]
    assert len({partition.leader.id for partition in described.partitions}) == 1


def test_a_topic_is_not_created_twice(kafka):
    again = NewTopic(kafka.topic(), num_partitions=1, replication_factor=1)
    assert refused(kafka.admin.create_topics([again])[again.topic]) == KafkaError.TOPIC_ALREADY_EXISTS


@pytest.mark.parametrize(
    ("topic", "partitions", "replicas", "config", "code"),
    [
        ("", 1, 1, {}, KafkaError.TOPIC_EXCEPTION),
        ("a topic", 1, 1, {}, KafkaError.TOPIC_EXCEPTION),
        ("x" * 250, 1, 1, {}, KafkaError.TOPIC_EXCEPTION),
        ("too-many-replicas", 1, 9, {}, KafkaError.INVALID_REPLICATION_FACTOR),
        ("unknown-config", 1, 1, {"no.such.config": "1"}, KafkaError.INVALID_CONFIG),
        ("not-a-number", 1, 1, {"retention.ms": "soon"}, KafkaError.INVALID_CONFIG),
        ("below-the-range", 1, 1, {"segment.bytes": "1"}, KafkaError.INVALID_CONFIG),
        ("unknown-policy", 1, 1, {"cleanup.policy": "shred"}, KafkaError.INVALID_CONFIG),
    ],
)
def test_an_impossible_topic_is_refused_and_not_made(kafka, topic, partitions, replicas, config, code):
    new = NewTopic(topic, num_partitions=partitions, replication_factor=replicas, config=config)
    assert refused(kafka.admin.create_topics([new])[topic]) == code
    assert topic not in kafka.admin.list_topics(timeout=10).topics


def test_a_topic_grows_but_does_not_shrink(kafka):
    topic = kafka.topic(2)
    kafka.admin.create_partitions([NewPartitions(topic, 5)])[topic].result(20)
    until(lambda: len(kafka.admin.list_topics(topic, timeout=10).topics[topic].partitions) == 5)
    assert refused(kafka.admin.create_partitions([NewPartitions(topic, 3)])[topic]) == KafkaError.INVALID_PARTITIONS
    kafka.produce(topic, [b"x"], partition=4)
    assert [message.partition() for message in kafka.read(topic, 5, count=1)] == [4]


def test_a_deleted_topic_is_gone_and_its_name_starts_afresh(kafka):
    topic = kafka.topic()
    kafka.produce(topic, [b"old"] * 3)
    kafka.admin.delete_topics([topic])[topic].result(20)
    until(lambda: topic not in kafka.admin.list_topics(timeout=10).topics)
    new = NewTopic(topic, num_partitions=1, replication_factor=1)
    until(lambda: _created(kafka, new))
    kafka.produce(topic, [b"new"])
    assert [(message.offset(), message.value()) for message in kafka.read(topic, count=1)] == [(0, b"new")]


def _created(kafka, new):
    try:
        kafka.admin.create_topics([new])[new.topic].result(20)
    except KafkaException:
        return False
    return True


def test_the_cluster_describes_itself(kafka):
    cluster = kafka.admin.describe_cluster().result(10)
    assert cluster.cluster_id
    assert cluster.controller.id in {node.id for node in cluster.nodes}


def test_configs_are_described_with_what_was_set_and_what_is_default(kafka):
    configs = kafka.configs(kafka.topic(config={"retention.ms": "3600000", "cleanup.policy": "compact"}))
    assert configs["retention.ms"] == "3600000"
    assert configs["cleanup.policy"] == "compact"
    asked_for = {
        "retention.bytes",
        "segment.bytes",
        "segment.ms",
        "max.message.bytes",
        "min.compaction.lag.ms",
        "delete.retention.ms",
        "compression.type",
        "message.timestamp.type",
        "min.insync.replicas",
    }
    assert asked_for <= configs.keys()


def test_single_configs_are_altered_and_taken_back(kafka):
    topic = kafka.topic()
    default = kafka.configs(topic)["retention.ms"]
    alter(kafka, topic, "retention.ms", "60000").result(10)
    until(lambda: kafka.configs(topic)["retention.ms"] == "60000")
    alter(kafka, topic, "cleanup.policy", "compact", AlterConfigOpType.APPEND).result(10)
    until(lambda: set(kafka.configs(topic)["cleanup.policy"].split(",")) == {"delete", "compact"})
    alter(kafka, topic, "retention.ms", None, AlterConfigOpType.DELETE).result(10)
    until(lambda: kafka.configs(topic)["retention.ms"] == default)


@pytest.mark.parametrize(("name", "value"), [("no.such.config", "1"), ("retention.ms", "-5"), ("segment.ms", "x")])
def test_an_impossible_change_of_config_is_refused(kafka, name, value):
    topic = kafka.topic()
    before = kafka.configs(topic)
    assert refused(alter(kafka, topic, name, value)) in {KafkaError.INVALID_CONFIG, KafkaError.INVALID_REQUEST}
    assert kafka.configs(topic) == before


# --- records -----------------------------------------------------------------------------------------------------


def test_keys_values_headers_and_timestamps_come_back_as_they_were_sent(kafka):
    topic = kafka.topic(config=KEEP)
    headers = [("a", b"1"), ("a", b"2"), ("none", None), ("binary", bytes(range(256)))]
    sent = [(b"k", b"v"), (b"tombstone", None), (None, b""), (b"", b"empty key")]
    producer = kafka.producer()
    for at, (key, value) in enumerate(sent):
        producer.produce(topic, key=key, value=value, headers=headers, timestamp=EVENT_MS + at)
    assert producer.flush(20) == 0
    read = kafka.read(topic, count=4)
    assert [(message.key(), message.value()) for message in read] == sent
    assert all(message.headers() == headers for message in read)
    assert [message.timestamp() for message in read] == [(1, EVENT_MS + at) for at in range(4)]


def test_times_are_the_brokers_on_a_topic_of_append_times(kafka):
    topic = kafka.topic(config={"message.timestamp.type": "LogAppendTime"})
    producer = kafka.producer()
    for at in (0, 10**9, -(10**9)):
        producer.produce(topic, value=b"v", timestamp=EVENT_MS + at)
        assert producer.flush(20) == 0
    stamps = [message.timestamp() for message in kafka.read(topic, count=3)]
    assert {kind for kind, _ in stamps} == {2}
    assert stamps == sorted(stamps)
    assert abs(stamps[0][1] / 1000 - time.time()) < 60
    assert offset_at(kafka, topic, stamps[0][1]) == 0
    assert offset_at(kafka, topic, EVENT_MS + 2 * 10**9) == 0


def test_the_records_of_a_key_keep_their_order(kafka):
    topic = kafka.topic(4)
    producer = kafka.producer(linger_ms=1)
    for number in range(3000):
        producer.produce(topic, key=f"k{number % 20}", value=str(number))
        producer.poll(0)
    assert producer.flush(30) == 0
    by_key = {}
    for message in kafka.read(topic, 4, count=3000):
        by_key.setdefault(message.key(), []).append(int(message.value()))
    assert sum(len(numbers) for numbers in by_key.values()) == 3000
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches_come_back_and_are_found_by_time(kafka, codec):
    topic = kafka.topic(config=KEEP)
    producer = kafka.producer(compression_type=codec, linger_ms=200)
    for number in range(500):
        producer.produce(topic, value=b"the same words " * 10 + str(number).encode(), timestamp=EVENT_MS + number * 10)
    assert producer.flush(20) == 0
    assert [int(message.value().split()[-1]) for message in kafka.read(topic, count=500)] == list(range(500))
    assert offset_at(kafka, topic, EVENT_MS + 2500) == 250
    assert offset_at(kafka, topic, EVENT_MS + 2501) == 251


def test_a_big_message_needs_a_topic_that_allows_it(kafka):
    big = os.urandom(5_000_000)
    roomy = kafka.topic(config={"max.message.bytes": "6000000"})
    kafka.produce(roomy, [big, b"small", big], message_max_bytes=8_000_000)
    assert [message.value() for message in kafka.read(roomy, count=3)] == [big, b"small", big]
    with pytest.raises(AssertionError, match="MSG_SIZE_TOO_LARGE"):
        kafka.produce(kafka.topic(), [big], message_max_bytes=8_000_000)


def test_a_small_fetch_limit_still_gets_every_record(kafka):
    topic = kafka.topic(2)
    for partition in (0, 1):
        kafka.produce(topic, [os.urandom(3000) for _ in range(100)], partition=partition, batch_num_messages=7)
    consumer = kafka.consumer(fetch_message_max_bytes=1000, max_partition_fetch_bytes=1000, fetch_max_bytes=2_000_000)
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    found = poll(consumer, 200)
    consumer.close()
    offsets = [sorted(message.offset() for message in found if message.partition() == number) for number in (0, 1)]
    assert offsets == [list(range(100))] * 2


def test_an_idempotent_producer_writes_each_record_once_and_in_order(kafka):
    topic = kafka.topic()
    kafka.produce(topic, (str(number).encode() for number in range(3000)), enable_idempotence=True, linger_ms=0)
    read = kafka.read(topic, count=3000)
    assert [int(message.value()) for message in read] == list(range(3000))
    assert kafka.watermarks(topic) == (0, 3000)


def test_fire_and_forget_records_arrive(kafka):
    topic = kafka.topic()
    kafka.produce(topic, [b"x"] * 100, acks=0)
    assert len(kafka.read(topic, count=100)) == 100


def test_producing_to_a_topic_that_does_not_exist_fails(kafka):
    if FOREIGN:
        pytest.skip("whether topics are made by producing to them is the foreign broker's configuration")
    with pytest.raises((AssertionError, KafkaException)):
        kafka.produce(unique("missing"), [b"x"], message_timeout_ms=3000)


# --- positions ---------------------------------------------------------------------------------------------------


def offset_at(kafka, topic, timestamp, partition=0):
    consumer = kafka.consumer()
    (found,) = consumer.offsets_for_times([TopicPartition(topic, partition, timestamp)], timeout=10)
    consumer.close()
    return found.offset


def listed(kafka, topic, spec):
    (future,) = kafka.admin.list_offsets({TopicPartition(topic, 0): spec}).values()
    return future.result(10).offset


def test_offsets_are_found_by_time_even_when_times_jump_back(kafka):
    topic = kafka.topic(config=KEEP)
    producer = kafka.producer(linger_ms=5)
    for at in [100, 200, 5000, 300, 400, 6000]:
        producer.produce(topic, value=str(at), timestamp=EVENT_MS + at)
    assert producer.flush(20) == 0
    asked = {0: 0, 100: 0, 101: 1, 250: 2, 5000: 2, 5001: 5, 6000: 5}
    assert {at: offset_at(kafka, topic, EVENT_MS + at) for at in asked} == asked
    assert offset_at(kafka, topic, EVENT_MS + 6001) == -1
    assert listed(kafka, topic, OffsetSpec.max_timestamp()) == 5


def test_earliest_and_latest_are_the_ends_of_the_log(kafka):
    topic = kafka.topic()
    kafka.produce(topic, [b"x"] * 10)
    assert listed(kafka, topic, OffsetSpec.earliest()) == 0
    assert listed(kafka, topic, OffsetSpec.latest()) == 10


def test_a_consumer_seeks_and_a_late_one_sees_only_what_is_new(kafka):
    topic = kafka.topic()
    kafka.produce(topic, [str(number).encode() for number in range(100)], linger_ms=0, batch_num_messages=9)
    consumer = kafka.consumer()
    consumer.assign([TopicPartition(topic, 0, 57)])
    assert poll(consumer, 1)[0].offset() == 57
    consumer.seek(TopicPartition(topic, 0, 12))
    until(lambda: poll(consumer, 1)[0].offset() == 12)
    consumer.close()
    late = kafka.consumer(enable_partition_eof=True)
    late.assign([TopicPartition(topic, 0, OFFSET_END)])
    end = late.poll(20)
    assert (end.error().code(), end.offset()) == (KafkaError._PARTITION_EOF, 100)
    kafka.produce(topic, [b"new"])
    assert [(message.offset(), message.value()) for message in poll(late, 1)] == [(100, b"new")]
    late.close()


def test_deleted_records_are_gone_and_the_offsets_of_the_rest_stay(kafka):
    topic = kafka.topic()
    kafka.produce(topic, [str(number).encode() for number in range(100)])
    (future,) = kafka.admin.delete_records([TopicPartition(topic, 0, 40)]).values()
    assert future.result(10).low_watermark == 40
    assert kafka.watermarks(topic) == (40, 100)
    assert [message.offset() for message in kafka.read(topic, count=60)] == list(range(40, 100))
    (future,) = kafka.admin.delete_records([TopicPartition(topic, 0, 500)]).values()
    assert refused(future) == KafkaError.OFFSET_OUT_OF_RANGE


# --- consumer groups ---------------------------------------------------------------------------------------------


class Watched:
    """A group member that notes what it is assigned."""

    def __init__(self, kafka, topic, group, **settings):
        self.assigned = []
        self.consumer = kafka.consumer(group, **settings)
        self.consumer.subscribe([topic], on_assign=self._take, on_revoke=self._lose)

    def _take(self, _consumer, partitions):
        self.assigned = sorted(partition.partition for partition in partitions)

    def _lose(self, _consumer, _partitions):
        self.assigned = []

    def poll(self):
        return [message.offset() for message in self.consumer.consume(1000, 0.05) if not message.error()]


def settled(*members):
    """Every partition has one reader."""
    for member in members:
        member.poll()
    return sorted(number for member in members for number in member.assigned) == [0, 1, 2, 3] and all(
        m.assigned for m in members
    )


def test_a_group_shares_its_partitions_and_takes_over_those_of_a_member_that_leaves(kafka):
    topic, group = kafka.topic(4), unique("group")
    first, second = Watched(kafka, topic, group), Watched(kafka, topic, group)
    until(lambda: settled(first, second))
    (described,) = kafka.admin.describe_consumer_groups([group]).values()
    assert described.result(10).state.name == "STABLE"
    assert len(described.result(10).members) == 2
    second.consumer.close()
    until(lambda: settled(first))
    first.consumer.close()


def test_a_killed_member_is_expired_and_its_partitions_are_read_on(kafka):
    topic, group = kafka.topic(4), unique("group")
    script = (
        "import sys, confluent_kafka as k\n"
        "c = k.Consumer({'bootstrap.servers': sys.argv[1], 'group.id': sys.argv[3], 'session.timeout.ms': 6000,"
        " 'heartbeat.interval.ms': 200})\n"
        "c.subscribe([sys.argv[2]], on_assign=lambda c, p: print(len(p), flush=True))\n"
        "while True: c.poll(0.1)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, kafka.address, topic, group], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert child.stdout.readline().strip() == b"4"
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    survivor = Watched(kafka, topic, group)
    began = time.monotonic()
    until(lambda: settled(survivor), within_s=30)
    assert time.monotonic() - began > 1  # not at once: the dead member had its session
    survivor.consumer.close()


def test_a_static_member_that_comes_back_keeps_its_share_without_a_rebalance(kafka):
    topic, group = kafka.topic(4), unique("group")
    first = Watched(kafka, topic, group, group_instance_id="one")
    second = Watched(kafka, topic, group, group_instance_id="two")
    until(lambda: settled(first, second))
    share, kept = second.assigned, first.assigned
    second.consumer.close()  # a static member does not leave
    first.assigned = ["untouched"]
    second = Watched(kafka, topic, group, group_instance_id="two")
    until(lambda: second.poll() or second.assigned)
    assert second.assigned == share
    first.poll()
    assert first.assigned == ["untouched"], kept
    first.consumer.close()
    second.consumer.close()


def test_a_group_goes_on_where_it_committed(kafka):
    topic, group = kafka.topic(), unique("group")
    kafka.produce(topic, [str(number).encode() for number in range(10)])
    consumer = kafka.consumer(group)
    consumer.subscribe([topic])
    messages = poll(consumer, 6)
    consumer.commit(messages[5], asynchronous=False)
    consumer.close()
    consumer = kafka.consumer(group)
    consumer.subscribe([topic])
    assert [message.offset() for message in poll(consumer, 4)] == [6, 7, 8, 9]
    consumer.close()


def test_a_commit_of_a_past_generation_is_refused(kafka):
    topic, group = kafka.topic(4), unique("group")
    first = Watched(kafka, topic, group)
    until(lambda: settled(first))
    late = Watched(kafka, topic, group)
    until(lambda: settled(first, late))
    late.consumer.close()
    with pytest.raises(KafkaException) as refusal:
        kafka.consumer(group).commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    assert refusal.value.args[0].code() in {KafkaError.UNKNOWN_MEMBER_ID, KafkaError._STATE}
    first.consumer.close()


def test_the_offsets_of_an_idle_group_are_listed_set_and_deleted_with_it(kafka):
    topic, group = kafka.topic(), unique("group")
    kafka.produce(topic, [b"x"] * 10)
    consumer = kafka.consumer(group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    consumer.close()
    admin = kafka.admin
    assert _committed(admin, group) == [(topic, 0, 7)]
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3)])])[
        group
    ].result(10)
    assert _committed(admin, group) == [(topic, 0, 3)]
    assert group in {listed.group_id for listed in admin.list_consumer_groups().result(10).valid}
    admin.delete_consumer_groups([group])[group].result(10)
    assert group not in {listed.group_id for listed in admin.list_consumer_groups().result(10).valid}


def _committed(admin, group):
    (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
    return [(at.topic, at.partition, at.offset) for at in future.result(10).topic_partitions]


def test_a_group_with_members_is_not_deleted(kafka):
    topic, group = kafka.topic(4), unique("group")
    member = Watched(kafka, topic, group)
    until(lambda: settled(member))
    assert refused(kafka.admin.delete_consumer_groups([group])[group]) == KafkaError.NON_EMPTY_GROUP
    member.consumer.close()


# --- upkeep ------------------------------------------------------------------------------------------------------


def segments(kafka, topic, count, *, size=2000, key=None, timestamp=None):
    """Produce `count` records in batches of their own, so that they spread over segments."""
    producer = kafka.producer(linger_ms=0, batch_num_messages=1)
    for number in range(count):
        extra = {"timestamp": timestamp} if timestamp else {}
        name = key(number) if key else None
        producer.produce(topic, key=name, value=json.dumps({"n": number, "p": "x" * size}), **extra)
    assert producer.flush(30) == 0


def test_records_older_than_retention_are_deleted_by_their_own_timestamp(kafka):
    topic = kafka.topic(config={"retention.ms": "3600000", "segment.bytes": "20000"})
    segments(kafka, topic, 40, timestamp=EVENT_MS)
    segments(kafka, topic, 10)
    until(lambda: kafka.watermarks(topic)[0] > 0, within_s=UPKEEP_S)
    low, high = kafka.watermarks(topic)
    assert (30 <= low <= 40, high) == (True, 50)
    assert [message.offset() for message in kafka.read(topic, count=high - low)] == list(range(low, high))


def test_a_log_larger_than_its_limit_loses_its_oldest_segments(kafka):
    topic = kafka.topic(config={"retention.bytes": "50000", "segment.bytes": "20000"})
    segments(kafka, topic, 100)
    until(lambda: kafka.watermarks(topic)[0] > 0, within_s=UPKEEP_S)
    low, high = kafka.watermarks(topic)
    assert high == 100
    assert 50_000 <= (high - low) * 2000 <= 50_000 + 2 * 20_000


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_compaction_keeps_the_last_record_of_each_key_at_its_offset(kafka, codec):
    config = {
        "cleanup.policy": "compact",
        "segment.bytes": "20000",
        "segment.ms": "1000",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "0",
    }
    topic = kafka.topic(config=config)
    producer = kafka.producer(compression_type=codec, linger_ms=20, batch_num_messages=50)
    for number in range(1000):
        producer.produce(topic, key=f"k{number % 10}", value=os.urandom(100) + str(number).encode())
        if number % 200 == 199:
            producer.flush(20)
    producer.produce(topic, key="k3", value=None)
    assert producer.flush(20) == 0
    until(lambda: _poked(kafka, topic), within_s=UPKEEP_S)
    read = [message for message in kafka.read(topic) if message.key() != b"poke"]
    last = {message.key(): message for message in read}
    for key in range(10):
        if key != 3:
            assert last[f"k{key}".encode()].value().endswith(str(990 + key).encode())
            assert last[f"k{key}".encode()].offset() == 990 + key
    assert b"k3" not in last or last[b"k3"].value() is None
    assert len(read) < 100


def _poked(kafka, topic):
    """A new record closes the segment before it; then that can be compacted too."""
    producer = kafka.producer()
    producer.produce(topic, key="poke", value=b"")
    producer.flush(10)
    return len(kafka.read(topic)) < 100


def test_a_compacted_topic_refuses_a_record_without_a_key(kafka):
    topic = kafka.topic(config={"cleanup.policy": "compact"})
    with pytest.raises(AssertionError, match=r"INVALID_RECORD|validation"):
        kafka.produce(topic, [b"no key"])
