"""One suite over the replay log: the real writer and reader on a broker, and the double that unit tests use."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from mmplatform.errors import Misconfigured
from mmplatform.events import Position
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.reader import ReplayLog, Watermarks
from mmplatform.settings import load
from tests.doubles.memory_log import MemoryLog
from tests.servers.broker import any_broker

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class RealLog:
    """The producer and the read side behind one name, with what only a test does."""

    def __init__(self, address):
        self._settings = load(kafka_bootstrap_servers=address)
        self._producer = LogProducer(self._settings)
        self._reader = ReplayLog(self._settings)
        self.send, self.publish, self.send_all = self._producer.send, self._producer.publish, self._producer.send_all
        self.watermarks, self.lag, self.read = self._reader.watermarks, self._reader.lag, self._reader.read
        self.oldest_pending_at, self.newest_record_at = self._reader.oldest_pending_at, self._reader.newest_record_at
        self.check_reachable, self.close = self._reader.check_reachable, self._producer.close

    def create(self, topic):
        admin = AdminClient({"bootstrap.servers": self._settings.kafka_bootstrap_servers})
        new = NewTopic(topic, num_partitions=4, replication_factor=1, config={"retention.ms": "-1"})
        admin.create_topics([new])[topic].result()

    def commit(self, group, topic, number, offset):
        consumer = Consumer(client_config(self._settings) | {"group.id": group, "enable.auto.commit": False})
        consumer.commit(offsets=[TopicPartition(topic, number, offset)], asynchronous=False)
        consumer.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


@pytest.fixture(params=["memory", pytest.param("broker", marks=pytest.mark.broker)])
def log(request):
    made = MemoryLog() if request.param == "memory" else RealLog(request.getfixturevalue("address"))
    yield made
    made.close()


@pytest.fixture
def topic(log):
    name = f"t-{uuid.uuid4().hex[:10]}"
    log.create(name)
    return name


def records(topic, count, key=lambda i: f"k{i % 7}"):
    return [LogRecord(topic, key(i), f"v{i}".encode(), NOON + timedelta(seconds=i)) for i in range(count)]


def test_a_record_is_read_back_as_it_was_written(log, topic):
    stamp = NOON + timedelta(milliseconds=123)
    position = log.send(topic, "ключ", b"\x00value", timestamp=stamp, headers={"kind": b"chat"}).result(10)
    [entry] = log.read(topic)
    assert entry == (position, "ключ", b"\x00value", {"kind": b"chat"}, stamp, "ключ".encode())
    assert position.topic == topic


def test_a_record_without_a_timestamp_gets_the_present(log, topic):
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    log.send(topic, "k", b"v").result(10)
    [entry] = log.read(topic)
    assert before <= entry.timestamp <= datetime.now(UTC) + timedelta(milliseconds=1)


@pytest.mark.broker
@pytest.mark.parametrize(
    ("millis", "shown"),
    [
        (-86_400_000, datetime(1969, 12, 31, tzinfo=UTC)),
        (2**62, datetime.max.replace(tzinfo=UTC)),
        (-(2**62), datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_time_that_no_calendar_has_does_not_end_the_reading(address, millis, shown):
    """A foreign client writes whatever it likes there."""
    log, name = RealLog(address), f"t-{uuid.uuid4().hex[:10]}"
    log.create(name)
    foreign = Producer(client_config(load(kafka_bootstrap_servers=address)))
    foreign.produce(name, key=b"k", value=b"v", timestamp=millis)
    assert foreign.flush(10) == 0
    log.send(name, "k", b"after", timestamp=NOON).result(10)
    assert {(entry.value, entry.timestamp) for entry in log.read(name)} == {(b"v", shown), (b"after", NOON)}
    log.close()


def test_a_key_keeps_its_order_on_one_topic_partition(log, topic):
    positions = log.send_all(records(topic, 200))
    of_key = {}
    for entry in log.read(topic):
        of_key.setdefault(entry.key, []).append(entry)
    assert len(of_key) == 7
    for entries in of_key.values():
        assert len({entry.position.topic_partition for entry in entries}) == 1
        numbers = [int(entry.value[1:]) for entry in entries]
        assert numbers == sorted(numbers)
    assert sorted(p.offset for p in positions) == sorted(e.position.offset for e in log.read(topic))


def test_positions_answer_in_the_order_of_the_records(log, topic):
    sent = records(topic, 50)
    by_position = {entry.position: entry.value for entry in log.read(topic)}
    positions = log.send_all(sent)
    by_position = {entry.position: entry.value for entry in log.read(topic)}
    assert [by_position[position] for position in positions] == [record.value for record in sent]


async def test_many_writers_of_one_loop_are_all_answered(log, topic):
    positions = await asyncio.gather(*(log.publish(topic, f"k{i}", b"v") for i in range(300)))
    assert len(set(positions)) == 300
    assert all(isinstance(position, Position) for position in positions)


def test_send_gives_a_future(log, topic):
    future = log.send(topic, "k", b"v")
    assert isinstance(future, Future)
    assert future.result(10).topic == topic


def test_watermarks_tell_the_first_and_the_next_offset(log, topic):
    assert log.watermarks([topic]) == {topic: dict.fromkeys(range(4), Watermarks(0, 0))}
    position = log.send(topic, "k", b"v").result(10)
    marks = log.watermarks([topic])[topic]
    assert marks[position.topic_partition] == (0, 1)
    assert sum(mark.high for mark in marks.values()) == 1


def test_lag_is_what_a_group_has_not_committed(log, topic):
    log.send_all(records(topic, 30, key=lambda _: "one"))
    [number] = {entry.position.topic_partition for entry in log.read(topic)}
    group = f"g-{uuid.uuid4().hex[:8]}"
    assert log.lag(group, [topic])[topic] == {n: 30 if n == number else 0 for n in range(4)}
    log.commit(group, topic, number, 12)
    assert log.lag(group, [topic])[topic][number] == 18
    log.commit(group, topic, number, 30)
    assert sum(log.lag(group, [topic])[topic].values()) == 0


def test_a_stretch_is_read_by_offset(log, topic):
    log.send_all(records(topic, 10, key=lambda _: "one"))
    [number] = {entry.position.topic_partition for entry in log.read(topic)}
    found = list(log.read(topic, {number: 3}, {number: 6}))
    assert [entry.position.offset for entry in found] == [3, 4, 5]


def test_a_stretch_is_read_by_time(log, topic):
    log.send_all(records(topic, 40))
    found = log.read(topic, NOON + timedelta(seconds=10), NOON + timedelta(seconds=20))
    assert sorted(int(entry.value[1:]) for entry in found) == list(range(10, 20))


def test_a_time_after_everything_reads_nothing(log, topic):
    log.send_all(records(topic, 5))
    assert list(log.read(topic, NOON + timedelta(days=1))) == []


def test_an_empty_topic_reads_as_nothing(log, topic):
    assert list(log.read(topic)) == []


def test_what_comes_after_reading_began_is_not_read(log, topic):
    log.send_all(records(topic, 5))
    reading = log.read(topic, until=dict.fromkeys(range(4), 10**9))
    first = next(reading)
    rest = list(reading)
    assert len([first, *rest]) == 5


def test_a_large_stretch_is_read_whole(log, topic):
    log.send_all(LogRecord(topic, f"k{i}", b"x" * 5_000) for i in range(2_000))
    assert sum(1 for _ in log.read(topic)) == 2_000


def test_a_topic_that_does_not_exist_is_named(log):
    with pytest.raises(Misconfigured, match="nowhere"):
        log.watermarks(["nowhere"])
    with pytest.raises(Misconfigured, match="nowhere"):
        log.send_all([LogRecord("nowhere", "k", b"v")])


def test_a_reachable_log_says_so(log):
    log.check_reachable()


def test_the_oldest_undone_record_is_that_of_any_topic_partition(log, topic):
    group = f"g-{uuid.uuid4().hex[:8]}"
    assert log.oldest_pending_at(group, topic) is None
    assert log.newest_record_at(topic) is None
    log.send_all(records(topic, 20))
    assert log.oldest_pending_at(group, topic) == NOON
    assert log.newest_record_at(topic) == NOON + timedelta(seconds=19)
    by_number = {}
    for entry in log.read(topic):
        by_number.setdefault(entry.position.topic_partition, []).append(entry)
    number = next(number for number, entries in by_number.items() if entries[0].timestamp == NOON)
    log.commit(group, topic, number, 1)
    left = [entry.timestamp for entries in by_number.values() for entry in entries if entry.timestamp != NOON]
    assert log.oldest_pending_at(group, topic) == min(left)
    for each, marks in log.watermarks([topic])[topic].items():
        log.commit(group, topic, each, marks.high)
    assert log.oldest_pending_at(group, topic) is None
