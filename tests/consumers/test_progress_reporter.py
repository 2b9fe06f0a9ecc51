"""The reporter on a real broker: what it writes is true whenever it is read, and idle sources make progress too."""

from __future__ import annotations

import time
import uuid
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, TopicPartition

from mmplatform.consumers.progress_reporter import ProgressReporter
from mmplatform.events import Position, utc_now
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, CHAT, PROGRESS_TOPIC
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.progress import decode_progress
from mmplatform.settings import load
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
    prefix = f"p{uuid.uuid4().hex[:8]}."
    settings = load(kafka_bootstrap_servers=address, topic_prefix=prefix, topic_partitions=2)
    ensure_topics(settings)
    return settings


@contextmanager
def reporting(settings):
    with closing(LogProducer(settings)) as producer:
        reporter = ProgressReporter(settings, CHAT, producer)
        reporter.start()
        try:
            yield reporter
        finally:
            reporter.close()


def write(settings, topic, count=1):
    with closing(LogProducer(settings)) as producer:
        for _ in range(count):
            producer.send(topic_name(settings, topic), "a key", b"{}").result(10)


def consumed(settings):
    """The events on the log, as a deriver takes them."""
    with ReplayLog(settings) as log:
        return [
            ConsumedRecord(
                entry.position.model_copy(update={"topic": CHAT.topic}), entry.value, utc_now(), (), {}, entry.timestamp
            )
            for entry in log.read(topic_name(settings, CHAT.topic))
        ]


def reports(settings):
    with ReplayLog(settings) as log:
        return [(decode_progress(e.value), e.timestamp) for e in log.read(topic_name(settings, PROGRESS_TOPIC))]


def number_of(records):
    return records[0].position.topic_partition


def test_what_is_done_is_reported_with_the_ends_of_the_artifacts_behind_it(settings):
    write(settings, CHAT.topic, 3)
    write(settings, ARTIFACTS_TOPIC, 4)
    records = consumed(settings)
    with reporting(settings) as reporter:
        reporter.assign({0, 1})
        reporter.note_done(records[:2])
        eventually(lambda: any(r.next_offset == 2 for r, _ in reports(settings)), every_s=0.1)
    found = next(r for r, _ in reports(settings) if r.next_offset == 2)
    assert found.topic_partition == number_of(records)
    assert sorted(found.outputs.values()) == [0, 4]
    # The third waits: complete is what was appended before the second.
    assert found.complete_until == records[1].logged_at


def test_an_idle_source_becomes_complete_up_to_the_append_of_the_record_before(settings):
    write(settings, CHAT.topic)
    records = consumed(settings)
    with reporting(settings) as reporter:
        reporter.assign({0, 1})
        reporter.note_done(records)
        eventually(lambda: len({r.complete_until for r, _ in reports(settings)}) >= 3, every_s=0.1)
    times = {}
    for report, logged_at in reports(settings):
        earlier = [at for at in times.values() if at is not None]
        assert report.complete_until is None or report.complete_until < logged_at
        assert report.complete_until in {None, records[0].logged_at, *earlier}
        times[len(times)] = logged_at
    assert {r.topic_partition for r, _ in reports(settings)} == {0, 1}


def test_under_load_only_what_moves_is_reported_and_everything_once_a_second(settings):
    write(settings, CHAT.topic, 16)
    records = consumed(settings)
    with reporting(settings) as reporter:
        reporter.assign({0, 1})
        eventually(lambda: {r.topic_partition for r, _ in reports(settings)} == {0, 1}, every_s=0.1)
        began_at = utc_now()
        for record in records:
            reporter.note_done([record])
            time.sleep(0.2)
        load_s = (utc_now() - began_at).total_seconds()
    moving = number_of(records)
    under_load = [r for r, logged_at in reports(settings) if logged_at > began_at]
    moved, idle = ([r for r in under_load if (r.topic_partition == moving) is side] for side in (True, False))
    assert len({r.next_offset for r in moved}) >= len(records) / 2
    assert 2 <= len(idle) <= load_s + 2
    assert moved[-1].next_offset == len(records)


def test_a_topic_partition_that_is_assigned_is_reported_at_once(settings):
    with reporting(settings) as reporter:
        for numbers in ({0}, {0, 1}):
            reporter.assign(numbers)
            eventually(lambda wanted=numbers: {r.topic_partition for r, _ in reports(settings)} == wanted, every_s=0.1)


def test_it_begins_where_the_group_has_committed(settings):
    write(settings, CHAT.topic, 3)
    number = number_of(consumed(settings))
    group = f"{settings.topic_prefix}{CHAT.group}"
    with closing(Consumer(client_config(settings) | {"group.id": group, "enable.auto.commit": False})) as consumer:
        topic = topic_name(settings, CHAT.topic)
        consumer.commit(offsets=[TopicPartition(topic, number, 2)], asynchronous=False)
    with reporting(settings) as reporter:
        reporter.assign({number})
        [found] = eventually(lambda: [r for r, _ in reports(settings)][:1], every_s=0.1)
    assert (found.next_offset, found.complete_until) == (2, None)  # the third waits, and the second's time is unknown


def test_a_source_that_is_revoked_is_reported_no_longer(settings):
    with reporting(settings) as reporter:
        reporter.assign({0, 1})
        eventually(lambda: {r.topic_partition for r, _ in reports(settings)} == {0, 1}, every_s=0.1)
        reporter.assign({1})
        before = len(reports(settings))
        eventually(lambda: len(reports(settings)) >= before + 4, every_s=0.1)
    assert {r.topic_partition for r, _ in reports(settings)[before + 2 :]} == {1}


def test_the_last_report_is_written_at_the_end(settings):
    write(settings, CHAT.topic)
    with reporting(settings) as reporter:
        reporter.note_done(consumed(settings))
    assert max(r.next_offset for r, _ in reports(settings)) == 1


def test_a_later_generation_of_the_log_is_reported_as_such(settings):
    write(settings, CHAT.topic)
    [record] = consumed(settings)
    later = replace(record, position=Position(**(record.position.model_dump() | {"generation": 2})))
    with reporting(settings.model_copy(update={"log_generation": 2})) as reporter:
        reporter.note_done([later])
    assert (2, 1) in {r.order for r, _ in reports(settings)}


def test_a_generation_that_a_foreign_client_made_up_counts_for_nothing(settings):
    write(settings, CHAT.topic)
    [record] = consumed(settings)
    foreign = replace(record, position=Position(**(record.position.model_dump() | {"generation": 9})))
    with reporting(settings) as reporter:
        reporter.note_done([foreign])
    assert max(r.order for r, _ in reports(settings)) == (0, 1)


def test_with_records_that_wait_a_start_says_nothing_of_a_later_generation(settings):
    write(settings, CHAT.topic, 2)
    number = number_of(consumed(settings))
    with reporting(settings.model_copy(update={"log_generation": 2})) as reporter:
        reporter.assign({number})
        [found] = eventually(lambda: [r for r, _ in reports(settings)][:1], every_s=0.1)
        assert found.order == (0, 0)
    with reporting(settings.model_copy(update={"log_generation": 2})) as reporter:
        reporter.assign({1 - number})
        eventually(lambda: (2, 0) in {r.order for r, _ in reports(settings)}, every_s=0.1)
    assert {r.source_partitions for r, _ in reports(settings)} == {2}


def test_while_the_broker_is_away_it_waits_and_then_goes_on(tmp_path):
    (port,) = free_ports(1)
    settings = load(kafka_bootstrap_servers=f"127.0.0.1:{port}", topic_partitions=1)
    with reporting(settings) as reporter:
        reporter.assign({0})
        with broker_process(tmp_path, port=port):
            ensure_topics(settings)
            eventually(lambda: reports(settings), within_s=60)
