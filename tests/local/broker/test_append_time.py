"""Topics with LogAppendTime: the broker's clock is the time of a record, whatever its producer's clock says."""

from __future__ import annotations

import sqlite3
import struct
import time
from contextlib import closing

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaException, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, OffsetSpec, ResourceType
from crc32c import crc32c

from mmplatform.local.broker.log import cleaner, compaction, partition, recovery
from mmplatform.local.broker.log.batch import check, read_header
from mmplatform.local.broker.log.cleaner import _start_by_time
from mmplatform.local.broker.log.partition import Checkpoint
from mmplatform.local.broker.log.producers import Producers
from mmplatform.local.broker.log.records import inflate, walk
from mmplatform.local.broker.log.recovery import open_partition
from mmplatform.local.broker.store import Store
from mmplatform.local.broker.topic_configs import InvalidConfigError, TopicConfig, validated
from tests.local.broker.batches import batch, garbled
from tests.local.broker.clients import Clients, until
from tests.local.broker.nodes import put, running
from tests.local.broker.running import BrokerProcess
from tests.local.broker.test_raw_requests import produced

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
START = Checkpoint()
PRODUCER_MS = 1_600_000_000_000
BROKER_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class Clock:
    """The broker's clock, as a test sets it."""

    def __init__(self) -> None:
        self.now = BROKER_MS

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    for module in (partition, cleaner, compaction, recovery):
        monkeypatch.setattr(module, "now_ms", found)
    return found


def opened(folder, checkpoint=START, **configs):
    more = {name.replace("_", "."): str(value) for name, value in configs.items()}
    return open_partition(folder, TopicConfig(APPEND_TIME | more), checkpoint)


def append(log, data):
    placed = log.append(data, check(data))
    log.flushed(log.flush_target())
    return placed


def stored(log, offset):
    """The batch that holds `offset`, whole and with a matching checksum, and its header."""
    data = log.read(offset, 1, min_one_batch=True)
    return data, check(data)


def claiming(data):
    """The batch as a producer would send it that claims an append time."""
    claimed = bytearray(data)
    struct.pack_into(">h", claimed, 21, 1 << 3)
    struct.pack_into(">I", claimed, 17, crc32c(bytes(claimed[21:])))
    return bytes(claimed)


# --- the batch ---------------------------------------------------------------------------------------------------


def test_the_batch_gets_the_brokers_time_and_keeps_all_else(tmp_path, clock):
    log = opened(tmp_path)
    data = batch([b"a", b"b", b"c"], timestamp=PRODUCER_MS, step=125, producer=(7, 1, 0))
    append(log, data)
    placed = append(log, data)
    kept, header = stored(log, 3)
    assert kept[61:] == data[61:]
    assert kept[23:35] == data[23:35]  # the last offset delta, and the base timestamp
    assert kept[43:] == data[43:]
    assert (header.max_timestamp, header.has_log_append_time, header.base_timestamp) == (clock.now, True, PRODUCER_MS)
    assert (placed.base_offset, placed.append_time, placed.size) == (3, clock.now, len(data))
    assert [record.timestamp for record in walk(header, inflate(header, kept))] == [clock.now] * 3


@pytest.mark.parametrize("codec", range(5))
def test_the_records_are_not_opened(tmp_path, clock, codec):
    log, data = opened(tmp_path), garbled(codec, b"not what this codec makes")
    append(log, data)
    kept, header = stored(log, 0)
    assert (header.codec, header.append_time, kept[61:]) == (codec, clock.now, data[61:])


def test_a_batch_that_claims_an_append_time_has_its_producers_times_on_a_topic_of_create_time(tmp_path):
    log = open_partition(tmp_path, TopicConfig({}), START)
    data = batch([b"a", b"b"], timestamp=PRODUCER_MS, step=125)
    append(log, claiming(data))
    kept, header = stored(log, 0)
    assert not header.has_log_append_time
    assert [record.timestamp for record in walk(header, inflate(header, kept))] == [PRODUCER_MS, PRODUCER_MS + 125]
    assert kept[12:] == data[12:]


def test_a_claimed_append_time_is_replaced_by_the_brokers(tmp_path, clock):
    log = opened(tmp_path)
    append(log, claiming(batch([b"a"], timestamp=BROKER_MS + HOUR_MS)))
    assert stored(log, 0)[1].append_time == clock.now


def test_only_kafkas_two_words_are_values():
    assert validated(APPEND_TIME) == APPEND_TIME
    with pytest.raises(InvalidConfigError, match="CreateTime or LogAppendTime"):
        validated({"message.timestamp.type": "logappendtime"})


# --- a time that never falls -------------------------------------------------------------------------------------


def times(log):
    """The append time of every batch."""
    return [header.append_time for segment in log.segments for _, header in segment.batches()]


def test_the_time_stands_still_while_the_clock_is_behind(tmp_path, clock):
    log = opened(tmp_path)
    for step in (0, -5000, 10, -HOUR_MS, 4000, 995):
        clock.now += step
        append(log, batch([b"x"]))
    assert times(log) == [BROKER_MS] * 6
    clock.now = BROKER_MS + 1
    append(log, batch([b"x"]))
    assert times(log)[-1] == BROKER_MS + 1


@pytest.mark.parametrize("has_checkpoint", [True, False])
@pytest.mark.parametrize("rolled", [True, False])
def test_a_restart_with_a_clock_that_stepped_back_does_not_undercut_the_log(tmp_path, clock, has_checkpoint, rolled):
    log = opened(tmp_path)
    append(log, batch([b"x"]))
    mark = log.checkpoint(0) if has_checkpoint else START
    clock.now += 7
    append(log, batch([b"x"]))
    if rolled:
        log.roll(clock.now)
    log.close()
    clock.now -= HOUR_MS
    log = opened(tmp_path, mark)
    append(log, batch([b"x"]))
    assert times(log) == [BROKER_MS, BROKER_MS + 7, BROKER_MS + 7]


def test_a_log_that_retention_emptied_still_knows_its_newest_time(tmp_path, clock):
    log = opened(tmp_path)
    append(log, batch([b"x"]))
    for segment in log.advance_start(1):
        segment.remove()
    mark = log.checkpoint(0)
    log.close()
    clock.now -= HOUR_MS
    log = opened(tmp_path, mark)
    append(log, batch([b"x"]))
    assert times(log) == [BROKER_MS]


def test_a_producers_time_does_not_lift_the_append_time(tmp_path, clock):
    log = open_partition(tmp_path, TopicConfig({}), START)
    append(log, batch([b"x"], timestamp=BROKER_MS + HOUR_MS))
    log.config.replace(APPEND_TIME)
    append(log, batch([b"x"], timestamp=BROKER_MS + HOUR_MS))
    log.config.replace({})
    append(log, batch([b"x"], timestamp=PRODUCER_MS))
    assert times(log) == [-1, BROKER_MS, -1]
    assert log.find_time(BROKER_MS + 1) == (0, BROKER_MS + HOUR_MS)
    log.close()
    clock.now -= 5
    log = opened(tmp_path)
    append(log, batch([b"x"]))
    assert times(log) == [-1, BROKER_MS, -1, BROKER_MS]


def test_a_torn_tail_is_cut_and_the_time_goes_on(tmp_path, clock):
    log = opened(tmp_path)
    for _ in range(5):
        clock.now += 1000
        append(log, batch([b"x" * 100] * 3))
    log.close()
    (segment,) = tmp_path.glob("*.log")
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - 10)
    clock.now = BROKER_MS
    log = opened(tmp_path)
    append(log, batch([b"x"]))
    assert times(log) == [BROKER_MS + 1000 * at for at in (1, 2, 3, 4, 4)]


# --- what goes by time -------------------------------------------------------------------------------------------


def test_times_are_found_across_segments_whatever_the_producers_say(tmp_path, clock):
    log = opened(tmp_path, segment_bytes=400)
    for number in range(20):
        clock.now = BROKER_MS + number * 10
        append(log, batch([b"v"] * 10, timestamp=BROKER_MS - number * HOUR_MS))
    assert len(log.segments) > 5
    asked = {0: (0, BROKER_MS), 1: (10, BROKER_MS + 10), 100: (100, BROKER_MS + 100), 181: (190, BROKER_MS + 190)}
    assert {at: log.find_time(BROKER_MS + at) for at in asked} == asked
    assert log.find_time(BROKER_MS + 191) is None
    assert log.find_latest_time() == (190, BROKER_MS + 190)


def test_a_start_inside_a_batch_is_the_first_record_that_is_found(tmp_path, clock):
    log = opened(tmp_path)
    append(log, garbled(2, b""))
    append(log, batch([b"v"] * 10))
    log.advance_start(4)
    assert log.find_time(clock.now) == (4, clock.now)


def test_retention_goes_by_the_append_time(tmp_path, clock):
    log = opened(tmp_path, segment_bytes=400, retention_ms=HOUR_MS)
    for _ in range(3):
        append(log, batch([b"." * 300], timestamp=PRODUCER_MS))
    append(log, batch([b"." * 300], timestamp=BROKER_MS + 1000 * HOUR_MS))
    assert _start_by_time(log) == 0
    clock.now += HOUR_MS + 1
    append(log, batch([b"." * 300], timestamp=PRODUCER_MS))
    assert _start_by_time(log) == 4


async def test_compaction_keeps_the_append_time_of_what_it_retains(tmp_path, clock):
    configs = APPEND_TIME | {
        "cleanup.policy": "compact",
        "segment.bytes": "200",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": str(HOUR_MS),
    }
    async with running(tmp_path) as node:
        topic = await node.catalog.create("t", 1, configs)
        log = topic.partitions[0]
        for step in range(3):
            clock.now = BROKER_MS + step * 10
            keys = [b"same", b"key%d" % step, b"tombstone%d" % step]
            await put(node, log, batch([b"v" * 100, b"w", None], keys=keys, timestamp=PRODUCER_MS, step=125))
        log.roll(clock.now)
        await node._cleaner._compactor.compact(topic, 0, log)
        # The oldest batches lost their first record, but no tombstone: those are as young as their append time.
        assert [stored(log, at)[1].record_count for at in (0, 3, 6)] == [2, 2, 3]
        assert [stored(log, at)[1].append_time for at in (0, 3, 6)] == [BROKER_MS, BROKER_MS + 10, BROKER_MS + 20]
        assert stored(log, 3)[1].base_timestamp == PRODUCER_MS
        assert log.find_time(BROKER_MS + 1) == (4, BROKER_MS + 10)
        clock.now += 2 * HOUR_MS
        await put(node, log, batch([b"v"], keys=[b"late"]))
        log.roll(clock.now)
        await node._cleaner._compactor.compact(topic, 0, log)
        assert stored(log, 3)[1].record_count == 1


def test_a_repeat_is_answered_with_the_time_of_the_first(clock):
    producers = Producers()
    data = claiming(batch([b"x"], timestamp=BROKER_MS, producer=(5, 0, 0)))
    producers.record(read_header(data), 1000)
    plain = batch([b"x"], producer=(5, 0, 1))
    producers.record(read_header(plain).with_base_offset(1), 1000)
    restored = Producers.restore(producers.snapshot(1000, 2))
    assert restored.check(read_header(data)).append_time == clock.now
    assert restored.check(read_header(plain)).append_time == -1


def test_a_store_of_an_earlier_version_is_opened(tmp_path):
    path = tmp_path / "broker.sqlite"
    with closing(sqlite3.connect(path)) as earlier:
        earlier.execute("create table partitions (topic_id text, partition integer, cleaned integer)")
        earlier.execute("insert into partitions values ('t', 0, 5)")
        earlier.commit()
    for _ in range(2):
        store = Store(path)
        assert store.read("select cleaned, append_time from partitions") == [(5, -1)]
        store.close()


# --- as clients see it -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tended(tmp_path_factory):
    with BrokerProcess(tmp_path_factory.mktemp("broker"), "--cleanup-interval", "0.2") as broker:
        yield broker


def millis():
    return time.time_ns() // 1_000_000


def send(kafka, topic, stamps, **settings):
    """One record for each of the producer's times; each is a batch of its own."""
    producer = kafka.producer(linger_ms=0, **settings)
    for at in stamps:
        producer.produce(topic, key=b"k", value=b"v", timestamp=at)
        assert producer.flush(20) == 0


def alter(kafka, topic, value):
    entry = ConfigEntry("message.timestamp.type", value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    kafka.admin.incremental_alter_configs([resource])[resource].result(20)


def listed(kafka, topic, spec):
    (future,) = kafka.admin.list_offsets({TopicPartition(topic, 0): spec}).values()
    found = future.result(10)
    return found.offset, found.timestamp


@pytest.mark.broker
def test_times_rise_although_the_producers_clock_jumps_and_outlive_a_kill(broker, kafka):
    topic = kafka.topic(config=APPEND_TIME)
    assert kafka.configs(topic)["message.timestamp.type"] == "LogAppendTime"
    before = millis()
    send(kafka, topic, [before + jump for jump in (0, -HOUR_MS, HOUR_MS, -1000 * HOUR_MS, 1)], compression_type="lz4")
    after = millis()
    stamps = [message.timestamp() for message in kafka.read(topic, count=5)]
    assert {kind for kind, _ in stamps} == {TIMESTAMP_LOG_APPEND_TIME}
    found = [at for _, at in stamps]
    assert found == sorted(found)
    assert before <= found[0] <= found[-1] <= after
    broker.kill()
    broker.start()
    send(kafka, topic, [before - HOUR_MS])
    again = [message.timestamp() for message in kafka.read(topic, count=6)]
    assert again[:5] == stamps
    assert after <= again[5][1] <= millis()


@pytest.mark.broker
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_all_records_of_a_batch_have_its_time(kafka, codec):
    topic = kafka.topic(config=APPEND_TIME)
    producer = kafka.producer(compression_type=codec, linger_ms=200)
    for number in range(200):
        producer.produce(topic, value=b"the same words " * 10, timestamp=PRODUCER_MS + number * 10)
    assert producer.flush(20) == 0
    stamps = [message.timestamp() for message in kafka.read(topic, count=200)]
    assert len(set(stamps)) < 10
    assert stamps == sorted(stamps)
    assert abs(stamps[0][1] - millis()) < HOUR_MS


@pytest.mark.broker
def test_offsets_are_listed_by_append_time(kafka):
    topic = kafka.topic(config=APPEND_TIME)
    now = millis()
    for jump in (HOUR_MS, 0, -HOUR_MS):
        send(kafka, topic, [now + jump])
        time.sleep(0.01)
    found = [message.timestamp()[1] for message in kafka.read(topic, count=3)]
    assert [listed(kafka, topic, OffsetSpec.for_timestamp(at)) for at in found] == list(enumerate(found))
    assert listed(kafka, topic, OffsetSpec.for_timestamp(found[1] + 1)) == (2, found[2])
    assert listed(kafka, topic, OffsetSpec.for_timestamp(found[2] + 1))[0] == -1
    assert listed(kafka, topic, OffsetSpec.max_timestamp()) == (2, found[2])
    assert [listed(kafka, topic, spec)[0] for spec in (OffsetSpec.earliest(), OffsetSpec.latest())] == [0, 3]


@pytest.mark.broker
def test_a_change_of_the_type_is_for_later_batches(kafka):
    topic = kafka.topic(config={"retention.ms": "-1"})
    send(kafka, topic, [PRODUCER_MS])
    alter(kafka, topic, "LogAppendTime")
    send(kafka, topic, [PRODUCER_MS])
    alter(kafka, topic, "CreateTime")
    send(kafka, topic, [PRODUCER_MS])
    kinds = [message.timestamp()[0] for message in kafka.read(topic, count=3)]
    assert kinds == [TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_CREATE_TIME]
    with pytest.raises(KafkaException, match="must be CreateTime or LogAppendTime"):
        alter(kafka, topic, "AppendTime")


@pytest.mark.broker
def test_the_response_has_the_append_time_also_for_a_repeat_after_a_kill(broker, kafka):
    topic, data = kafka.topic(config=APPEND_TIME), batch([b"a", b"b"], producer=(78, 0, 0))
    first = produced(broker, topic, data).log_append_time
    broker.kill()
    broker.start()
    assert produced(broker, topic, data).log_append_time == first
    (_, at), (_, also_at) = [message.timestamp() for message in kafka.read(topic, count=2)]
    assert at == also_at
    assert int(first.timestamp()) == at // 1000  # kio's reader cuts to whole seconds
    assert produced(broker, kafka.topic(), data).log_append_time is None


@pytest.mark.broker
def test_a_producer_learns_the_append_time_to_the_millisecond(kafka):
    topic, reported = kafka.topic(config=APPEND_TIME), []
    producer = kafka.producer()
    for at in range(50):
        producer.produce(
            topic,
            value=b"v",
            timestamp=PRODUCER_MS + at,
            on_delivery=lambda _, message: reported.append((message.offset(), message.timestamp())),
        )
        assert producer.flush(20) == 0
    assert reported == [(message.offset(), message.timestamp()) for message in kafka.read(topic, count=50)]


@pytest.mark.broker
def test_compaction_and_retention_go_by_append_time(tended):
    kafka = Clients(tended.address)
    small = APPEND_TIME | {"segment.bytes": "300", "min.cleanable.dirty.ratio": "0.01"}
    compacted = kafka.topic(config=small | {"cleanup.policy": "compact"})
    kept = kafka.topic(config=small | {"retention.ms": str(HOUR_MS)})
    expiring = kafka.topic(config=small | {"retention.ms": "1500", "segment.ms": "500"})
    now = millis()
    for topic, jump in ((compacted, -HOUR_MS), (kept, -1000 * HOUR_MS), (expiring, 1000 * HOUR_MS)):
        send(kafka, topic, [now + jump + at for at in range(20)])
    until(lambda: kafka.watermarks(expiring) == (20, 20))
    until(lambda: len(kafka.read(compacted)) < 8)
    left = [message.timestamp() for message in kafka.read(compacted)]
    assert left == sorted(left)
    assert {kind for kind, _ in left} == {TIMESTAMP_LOG_APPEND_TIME}
    assert all(now <= at <= millis() for _, at in left)
    assert kafka.watermarks(kept) == (0, 20)
