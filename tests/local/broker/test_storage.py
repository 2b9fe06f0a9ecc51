"""Answers and state when the disk refuses a write: never more is acknowledged than stored."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from kio.schema.create_partitions.v3.request import CreatePartitionsRequest, CreatePartitionsTopic
from kio.schema.create_topics.v7.request import CreatableTopic, CreateTopicsRequest
from kio.schema.delete_groups.v2.request import DeleteGroupsRequest
from kio.schema.delete_records.v2.request import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from kio.schema.delete_topics.v5.request import DeleteTopicsRequest
from kio.schema.errors import ErrorCode
from kio.schema.incremental_alter_configs.v1.request import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from kio.schema.init_producer_id.v4.request import InitProducerIdRequest
from kio.schema.metadata.v12.request import MetadataRequest, MetadataRequestTopic
from kio.schema.offset_commit.v8.request import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kio.schema.offset_delete.v0.request import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)

from mmplatform.local.broker.api import configs, groups, metadata, offsets, positions, producers, topics
from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.log import flusher
from mmplatform.local.broker.log.batch import check, read_header
from mmplatform.local.broker.log.cleaner import _start_by_size, _start_by_time
from mmplatform.local.broker.log.flusher import Flusher
from mmplatform.local.broker.log.partition import Checkpoint
from mmplatform.local.broker.log.recovery import open_partition
from mmplatform.local.broker.store import Store
from mmplatform.local.broker.topic_configs import TopicConfig
from tests.local.broker.batches import batch
from tests.local.broker.nodes import CALL, put, refusing_store, running

SECOND = timedelta(seconds=1)
OLD_MS = 1_600_000_000_000
SMALL = {"segment.bytes": "500", "retention.ms": "-1"}


@pytest.fixture
async def node(tmp_path):
    async with running(tmp_path) as node:
        yield node


async def create(node, name="t"):
    wanted = CreatableTopic(name=name, num_partitions=1, replication_factor=1, assignments=(), configs=())
    answer = await topics.create_topics(node, CALL, CreateTopicsRequest(topics=(wanted,)))
    return answer.topics[0].error_code


async def grow(node, count):
    wanted = CreatePartitionsTopic(name="t", count=count, assignments=None)
    request = CreatePartitionsRequest(topics=(wanted,), timeout=SECOND, validate_only=False)
    answer = await topics.create_partitions(node, CALL, request)
    return answer.results[0].error_code


async def drop(node):
    answer = await topics.delete_topics(node, CALL, DeleteTopicsRequest(topic_names=("t",), timeout=SECOND))
    return answer.responses[0].error_code


async def alter(node):
    change = AlterableConfig(name="retention.ms", config_operation=0, value="7")
    resource = AlterConfigsResource(resource_type=2, resource_name="t", configs=(change,))
    request = IncrementalAlterConfigsRequest(resources=(resource,), validate_only=False)
    return (await configs.incremental_alter_configs(node, CALL, request)).responses[0].error_code


async def commit(node, offset):
    at = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset, committed_metadata="")
    request = OffsetCommitRequest(
        group_id="g",
        generation_id_or_member_epoch=-1,
        member_id="",
        topics=(OffsetCommitRequestTopic(name="t", partitions=(at,)),),
    )
    return (await offsets.offset_commit(node, CALL, request)).topics[0].partitions[0].error_code


async def forget_offset(node):
    at = OffsetDeleteRequestPartition(partition_index=0)
    topic = OffsetDeleteRequestTopic(name="t", partitions=(at,))
    answer = await offsets.offset_delete(node, CALL, OffsetDeleteRequest(group_id="g", topics=(topic,)))
    return answer.topics[0].partitions[0].error_code


async def delete_group(node):
    answer = await groups.delete_groups(node, CALL, DeleteGroupsRequest(groups_names=("g",)))
    return answer.results[0].error_code


async def cut(node, offset):
    at = DeleteRecordsPartition(partition_index=0, offset=offset)
    request = DeleteRecordsRequest(topics=(DeleteRecordsTopic(name="t", partitions=(at,)),), timeout=SECOND)
    return (await positions.delete_records(node, CALL, request)).topics[0].partitions[0].error_code


def committed(node):
    return {place: at.offset for place, at in node.offsets.for_group("g").items()}


# --- topics ------------------------------------------------------------------------------------------------------


async def test_a_topic_that_could_not_be_stored_does_not_exist_and_can_be_created_later(node, tmp_path):
    with refusing_store(node):
        assert await create(node) is ErrorCode.kafka_storage_error
        assert node.catalog.get("t") is None
        assert list((tmp_path / "topics").iterdir()) == []
    assert await create(node) is ErrorCode.none


async def test_a_topic_whose_directory_could_not_be_made_does_not_exist(node, tmp_path):
    (tmp_path / "topics").rmdir()
    (tmp_path / "topics").write_bytes(b"a file where the directory should be")
    assert await create(node) is ErrorCode.kafka_storage_error
    assert node.catalog.get("t") is None


async def test_a_topic_is_invisible_before_it_is_stored(node):
    creating = asyncio.create_task(create(node))
    await asyncio.sleep(0)
    assert node.catalog.get("t") is None
    assert await create(node) is ErrorCode.topic_already_exists
    assert await creating is ErrorCode.none
    assert len(node.catalog.get("t").partitions) == 1


async def test_a_topic_made_on_demand_that_could_not_be_stored_is_answered_with_the_error(tmp_path):
    async with running(tmp_path) as node:
        node.options = type(node.options)(data=tmp_path, auto_create_topics=True)
        request = MetadataRequest(
            topics=(MetadataRequestTopic(name="t", topic_id=None),),
            allow_auto_topic_creation=True,
            include_topic_authorized_operations=False,
        )
        with refusing_store(node):
            answer = await metadata.metadata(node, CALL, request)
            assert answer.topics[0].error_code is ErrorCode.kafka_storage_error
        both = await asyncio.gather(metadata.metadata(node, CALL, request), metadata.metadata(node, CALL, request))
        assert [one.topics[0].error_code for one in both] == [ErrorCode.none] * 2
        assert len({one.topics[0].topic_id for one in both}) == 1


async def test_partitions_that_could_not_be_stored_do_not_exist(node, tmp_path):
    await create(node)
    with refusing_store(node):
        assert await grow(node, 3) is ErrorCode.kafka_storage_error
        assert len(node.catalog.get("t").partitions) == 1
    (folder,) = (tmp_path / "topics").iterdir()
    assert [path.name for path in folder.iterdir()] == ["0"]
    assert await asyncio.gather(grow(node, 2), grow(node, 3)) == [ErrorCode.none, ErrorCode.none]
    assert len(set(node.catalog.get("t").partitions)) == 3


async def test_a_setting_that_could_not_be_stored_is_not_in_force(node):
    await create(node)
    with refusing_store(node):
        assert await alter(node) is ErrorCode.kafka_storage_error
        assert node.catalog.get("t").config.overrides == {}
    assert await alter(node) is ErrorCode.none
    assert node.catalog.get("t").config.retention_ms == 7


async def test_a_topic_whose_deletion_could_not_be_stored_still_exists_and_accepts_records(node):
    await create(node)
    await commit(node, 0)
    log = node.catalog.partition("t", 0)
    with refusing_store(node):
        assert await drop(node) is ErrorCode.kafka_storage_error
        assert await put(node, log, batch([b"x"])) == 0
        assert committed(node) == {("t", 0): 0}
    assert await drop(node) is ErrorCode.none
    assert node.catalog.get("t") is None
    assert committed(node) == {}


# --- groups and producers ----------------------------------------------------------------------------------------


async def test_an_offset_that_could_not_be_stored_is_not_committed(node):
    await create(node)
    assert await commit(node, 1) is ErrorCode.none
    with refusing_store(node):
        assert await commit(node, 2) is ErrorCode.kafka_storage_error
        assert committed(node) == {("t", 0): 1}
        assert await forget_offset(node) is ErrorCode.kafka_storage_error
        assert committed(node) == {("t", 0): 1}
    assert await forget_offset(node) is ErrorCode.none
    assert committed(node) == {}


async def test_a_group_whose_deletion_could_not_be_stored_still_exists(node):
    await create(node)
    await commit(node, 1)
    with refusing_store(node):
        assert await delete_group(node) is ErrorCode.kafka_storage_error
        assert committed(node) == {("t", 0): 1}
    assert await commit(node, 2) is ErrorCode.none
    assert await delete_group(node) is ErrorCode.none
    assert committed(node) == {}


async def test_a_producer_id_is_not_allocated_before_its_block_is_stored(node):
    request = InitProducerIdRequest(transactional_id=None, transaction_timeout=None, producer_id=-1, producer_epoch=-1)
    with refusing_store(node):
        assert (await producers.init_producer_id(node, CALL, request)).error_code is ErrorCode.kafka_storage_error
    assert (await producers.init_producer_id(node, CALL, request)).producer_id == 0


# --- cutting and upkeep ------------------------------------------------------------------------------------------


async def filled(node, configs, count=20):
    topic = await node.catalog.create("t", 1, configs)
    for _ in range(count):
        await put(node, topic.partitions[0], batch([b"." * 300], keys=[b"k"], timestamp=OLD_MS))
    return topic.partitions[0]


async def test_a_deletion_of_records_that_could_not_be_stored_leaves_them_readable(node, tmp_path):
    log = await filled(node, SMALL)
    files = len(list(tmp_path.glob("topics/*/0/*.log")))
    with refusing_store(node):
        assert await cut(node, 10) is ErrorCode.kafka_storage_error
    assert (log.log_start, len(log.segments)) == (0, files)
    assert read_header(log.read(0, 1, min_one_batch=True)).base_offset == 0
    assert await asyncio.gather(cut(node, 10), cut(node, 12)) == [ErrorCode.none, ErrorCode.none]
    assert (log.log_start, len(list(tmp_path.glob("topics/*/0/*.log")))) == (12, files - 12)


async def eventually(true):
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_maintenance_goes_on_once_the_disk_accepts_writes_again(tmp_path):
    async with running(tmp_path, cleanup_interval_s=0.05) as node:
        log = await filled(node, SMALL)
        with refusing_store(node):
            log.config.replace({**SMALL, "retention.ms": "1000"})
            await asyncio.sleep(0.3)
            assert (log.log_start, [s.base_offset for s in log.segments][:20]) == (0, list(range(20)))
        await eventually(lambda: log.log_start == 20 and len(list(tmp_path.glob("topics/*/0/*.log"))) == 1)


async def test_an_error_in_one_partition_does_not_stop_the_maintenance_of_the_others(tmp_path, monkeypatch):
    async with running(tmp_path, cleanup_interval_s=0.05) as node:
        await node.catalog.create("broken", 1, {"cleanup.policy": "compact"})

        async def compact(*_):
            raise RuntimeError("nobody thought of this")

        monkeypatch.setattr(node._cleaner._compactor, "compact", compact)
        log = await filled(node, {**SMALL, "retention.ms": "1000"})
        await eventually(lambda: log.log_start == 20)


@pytest.mark.parametrize("start_of", [_start_by_size, _start_by_time])
def test_retention_removes_nothing_that_is_not_on_disk_yet(tmp_path, start_of):
    config = TopicConfig({"segment.bytes": "500", "retention.bytes": "0", "retention.ms": "1"})
    log = open_partition(tmp_path, config, Checkpoint())
    data = batch([b"." * 300], timestamp=OLD_MS)
    for _ in range(3):
        log.append(data, check(data))
    log.flushed(log.flush_target())
    for _ in range(5):
        log.append(data, check(data))
    assert start_of(log) <= log.high_watermark == 3


async def test_age_deletes_segments_behind_one_that_compaction_emptied(tmp_path):
    async with running(tmp_path, cleanup_interval_s=0.05) as node:
        log = await filled(node, {**SMALL, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"})
        await eventually(lambda: log.segments[0].size == 0)
        log.config.replace({**SMALL, "cleanup.policy": "compact,delete", "retention.ms": "1000"})
        await eventually(lambda: log.log_start == 20)


# --- flushing ----------------------------------------------------------------------------------------------------


async def test_a_refused_flush_halts_and_leaves_nothing_that_a_start_would_treat_as_durable(tmp_path, monkeypatch):
    halted = []
    sync = Flusher(on_refusal=lambda log, error: halted.append((log, error.errno)))
    log = open_partition(tmp_path, TopicConfig({}), Checkpoint())
    data = batch([b"x"])
    log.append(data, check(data))
    sync.request(log)
    await log.durable(1)

    def refuse(_fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(flusher.os, "fdatasync", refuse)
    log.append(data, check(data))
    sync.request(log)
    with pytest.raises(StorageFailedError):
        await log.durable(2)
    await sync.drain()
    assert halted == [(log, 5)]
    monkeypatch.undo()
    log.close()
    assert open_partition(tmp_path, TopicConfig({}), Checkpoint()).end_offset == 1


async def test_an_index_that_cannot_be_saved_stops_no_client(node, tmp_path):
    topic = await node.catalog.create("t", 1, SMALL)
    log = topic.partitions[0]
    (tmp_path / f"topics/t.{topic.id.hex[:8]}/0/{0:020d}.index").mkdir()
    data = batch([b"." * 300])
    for _ in range(3):  # in one flush, which then closes two segments
        log.append(data, check(data))
    assert await put(node, log, data) == 3
    assert (log.high_watermark, log.failed) == (4, False)
    await node.catalog.checkpoint(topic, 0)


async def test_segments_that_are_full_hold_no_file_open(node):
    await filled(node, SMALL)
    log = node.catalog.partition("t", 0)
    assert [segment._fd >= 0 for segment in log.segments] == [False] * 19 + [True]


async def test_a_segment_that_cannot_be_made_refuses_the_batch_and_keeps_the_partition(node, tmp_path):
    topic = await node.catalog.create("t", 1, SMALL)
    log, data = topic.partitions[0], batch([b"." * 300])
    await put(node, log, data)
    await put(node, log, data)
    log.directory.rename(tmp_path / "away")
    with pytest.raises(StorageFailedError):
        log.append(data, check(data))
    (tmp_path / "away").rename(log.directory)
    assert await put(node, log, data) == 2


# --- the store ---------------------------------------------------------------------------------------------------


async def test_a_full_disk_is_reported_and_the_refused_records_are_not_stored(tmp_path):
    store = Store(tmp_path / "broker.sqlite")
    pages = int(str(store.read("pragma page_count")[0][0]))
    store.read(f"pragma max_page_count={pages + 4}")
    store.start(asyncio.get_running_loop())
    row = "insert into facts values (?, ?)"
    # One large write among small ones: SQLite then gives up the transaction that they share.
    writes = [store.write([(row, (f"small{at}", "x"))]) for at in range(3)]
    writes += [store.write([(row, (f"large{at}", "x" * 3000)) for at in range(20)])]
    writes += [store.write([(row, (f"late{at}", "x"))]) for at in range(3)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert "full" in str(outcomes[3])
    assert isinstance(outcomes[3], StorageFailedError)
    await store.write([(row, ("after", "x"))])
    store.close()
    kept = Store(tmp_path / "broker.sqlite")
    names = {str(name) for (name,) in kept.read("select name from facts")}
    kept.close()
    acknowledged = {f"small{at}" for at in range(3) if outcomes[at] is None}
    acknowledged |= {f"late{at}" for at in range(3) if outcomes[4 + at] is None}
    assert names == acknowledged | {"after"}


async def test_a_failing_statement_fails_only_its_own_write(tmp_path):
    store = Store(tmp_path / "broker.sqlite")
    store.start(asyncio.get_running_loop())
    good, bad = store.write([("insert into facts values ('a', '1')", ())]), store.write([("nonsense", ())])
    too_large = store.write([("insert into facts values (?, ?)", ("b", 2**70))])
    outcomes = await asyncio.gather(good, bad, too_large, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), StorageFailedError, StorageFailedError]
    store.close()
    kept = Store(tmp_path / "broker.sqlite")
    assert kept.read("select name from facts") == [("a",)]
    kept.close()
