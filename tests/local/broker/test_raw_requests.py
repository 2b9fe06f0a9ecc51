"""Requests that confluent-kafka does not send, sent by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from confluent_kafka import TopicPartition
from kio.schema.end_txn import v1 as end_transaction
from kio.schema.errors import ErrorCode
from kio.schema.fetch import v11 as fetch_11
from kio.schema.join_group import v3 as join_3
from kio.schema.leave_group import v3 as leave_3
from kio.schema.leave_group.v3.request import MemberIdentity
from kio.schema.list_groups import v4 as groups_4
from kio.schema.metadata import v0 as metadata_0
from kio.schema.offset_delete import v0 as offset_delete_0
from kio.schema.offset_delete.v0.request import OffsetDeleteRequestPartition, OffsetDeleteRequestTopic
from kio.schema.offset_for_leader_epoch import v4 as epochs_4
from kio.schema.offset_for_leader_epoch.v4.request import OffsetForLeaderPartition, OffsetForLeaderTopic
from kio.schema.produce import v9 as produce_9
from kio.schema.produce.v9.request import PartitionProduceData, TopicProduceData

from tests.local.broker.batches import batch, garbled
from tests.local.broker.clients import unique, until
from tests.local.broker.raw import call

pytestmark = pytest.mark.broker


def produced(broker, topic, data, acks=-1):
    partition = PartitionProduceData(index=0, records=data)
    request = produce_9.ProduceRequest(
        acks=acks,
        timeout=timedelta(seconds=5),
        topic_data=(TopicProduceData(name=topic, partition_data=(partition,)),),
    )
    return call(broker.port, request).responses[0].partition_responses[0]


def test_a_batch_that_comes_twice_is_written_once_even_over_a_kill(broker, kafka):
    topic = kafka.topic()
    data = batch([b"a", b"b"], producer=(77, 0, 0))
    assert produced(broker, topic, data).base_offset == 0
    broker.kill()
    broker.start()
    assert produced(broker, topic, data).base_offset == 0
    assert produced(broker, topic, batch([b"c"], producer=(77, 0, 2))).base_offset == 2
    gap = produced(broker, topic, batch([b"e"], producer=(77, 0, 9)))
    assert gap.error_code is ErrorCode.out_of_order_sequence_number
    assert kafka.watermarks(topic) == (0, 3)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda data: data[:-1], ErrorCode.corrupt_message),
        (lambda data: data[:-1] + b"?", ErrorCode.corrupt_message),
        (lambda data: data[:16] + b"\x01" + data[17:], ErrorCode.corrupt_message),
        (lambda data: data + data, ErrorCode.corrupt_message),
        (lambda _data: b"", ErrorCode.corrupt_message),
        (lambda _data: None, ErrorCode.corrupt_message),
    ],
)
def test_a_damaged_batch_is_refused_and_not_stored(broker, kafka, damage, code):
    topic = kafka.topic()
    assert produced(broker, topic, damage(batch([b"a", b"b"]))).error_code is code
    assert kafka.watermarks(topic) == (0, 0)


@pytest.mark.parametrize("codec", range(5))
@pytest.mark.parametrize("body", [b"", b"\xff" * 3, b"\xff" * 20, b"junk"])
def test_records_that_do_not_open_are_refused_where_they_must_be_opened(broker, kafka, codec, body):
    topic = kafka.topic(config={"cleanup.policy": "compact"})
    assert produced(broker, topic, garbled(codec, body)).error_code is ErrorCode.corrupt_message


def test_times_are_found_in_a_topic_that_holds_records_that_do_not_open(broker, kafka):
    topic = kafka.topic()
    assert produced(broker, topic, garbled(2, b"")).error_code is ErrorCode.none
    kafka.produce(topic, [b"sound"])
    consumer = kafka.consumer()
    for at, offset in [(0, 0), (1_600_000_000_000, 0), (1_600_000_000_001, 1)]:
        (found,) = consumer.offsets_for_times([TopicPartition(topic, 0, at)], timeout=10)
        assert (found.error, found.offset) == (None, offset)
    consumer.close()


def test_an_impossible_acks_is_refused(broker, kafka):
    assert produced(broker, kafka.topic(), batch([b"x"]), acks=7).error_code is ErrorCode.invalid_required_acks


def test_offsets_of_single_partitions_are_deleted_unless_the_group_reads_them(broker, kafka):
    topic, group = kafka.topic(2), unique("group")
    consumer = kafka.consumer(group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)], asynchronous=False)

    def delete():
        partition = OffsetDeleteRequestPartition(partition_index=1)
        wanted = OffsetDeleteRequestTopic(name=topic, partitions=(partition,))
        answer = call(broker.port, offset_delete_0.OffsetDeleteRequest(group_id=group, topics=(wanted,)))
        return answer.error_code, [part.error_code for one in answer.topics for part in one.partitions]

    assert delete() == (ErrorCode.none, [ErrorCode.none])
    held = consumer.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=10)
    assert [at.offset for at in held] == [0, -1001]
    consumer.subscribe([topic])
    until(lambda: consumer.poll(0.1) is None and consumer.assignment())
    assert delete() == (ErrorCode.none, [ErrorCode.group_subscribed_to_topic])
    consumer.close()
    missing = offset_delete_0.OffsetDeleteRequest(group_id=unique("none"), topics=())
    assert call(broker.port, missing).error_code is ErrorCode.group_id_not_found


def test_an_administrator_removes_a_static_member_by_its_instance(broker, kafka):
    topic, group = kafka.topic(), unique("group")
    consumer = kafka.consumer(group, group_instance_id="worker-1")
    consumer.subscribe([topic])
    until(lambda: consumer.poll(0.1) is None and consumer.assignment())

    def leave(instance):
        members = (MemberIdentity(member_id="", group_instance_id=instance),)
        return call(broker.port, leave_3.LeaveGroupRequest(group_id=group, members=members)).members[0].error_code

    assert leave("worker-9") is ErrorCode.unknown_member_id
    assert leave("worker-1") is ErrorCode.none
    empty = call(broker.port, groups_4.ListGroupsRequest(states_filter=("Empty",)))
    assert group in {listed.group_id for listed in empty.groups}
    consumer.close()


@pytest.mark.parametrize(
    ("session_s", "group", "code"),
    [
        (0.01, "g", ErrorCode.invalid_session_timeout),
        (9999, "g", ErrorCode.invalid_session_timeout),
        (10, "", ErrorCode.invalid_group_id),
        (10, "g", ErrorCode.inconsistent_group_protocol),
    ],
)
def test_an_impossible_join_is_refused(broker, session_s, group, code):
    request = join_3.JoinGroupRequest(
        group_id=group,
        session_timeout=timedelta(seconds=session_s),
        rebalance_timeout=timedelta(seconds=10),
        member_id="",
        protocol_type="consumer",
        protocols=(),
    )
    assert call(broker.port, request).error_code is code


def test_a_leader_epoch_ends_where_the_log_ends(broker, kafka):
    topic = kafka.topic()
    kafka.produce(topic, [b"x"] * 4)
    wanted = tuple(OffsetForLeaderPartition(partition=at, leader_epoch=epoch) for at, epoch in [(0, 0), (0, 3), (5, 0)])
    request = epochs_4.OffsetForLeaderEpochRequest(topics=(OffsetForLeaderTopic(topic=topic, partitions=wanted),))
    found = [(one.error_code, one.end_offset) for one in call(broker.port, request).topics[0].partitions]
    assert found == [(ErrorCode.none, 4), (ErrorCode.none, -1), (ErrorCode.unknown_topic_or_partition, -1)]


def test_fetch_sessions_are_refused_with_the_protocols_error(broker):
    request = fetch_11.FetchRequest(
        max_wait=timedelta(0),
        min_bytes=0,
        isolation_level=0,
        session_id=5,
        session_epoch=1,
        topics=(),
        forgotten_topics_data=(),
    )
    assert call(broker.port, request).error_code is ErrorCode.fetch_session_id_not_found


def test_the_oldest_metadata_request_names_no_topic_and_means_all(broker, kafka):
    topic = kafka.topic()
    answer = call(broker.port, metadata_0.MetadataRequest(topics=()))
    assert topic in {one.name for one in answer.topics}


def test_an_api_of_transactions_is_refused_with_the_protocols_error(broker):
    request = end_transaction.EndTxnRequest(transactional_id="t", producer_id=1, producer_epoch=0, committed=True)
    assert call(broker.port, request).error_code is ErrorCode.unsupported_version
