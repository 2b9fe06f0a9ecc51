from __future__ import annotations

import shutil
import signal
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from mmplatform.errors import Busy, TooLarge, Unavailable
from mmplatform.kafka import producer as producer_module
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics
from mmplatform.settings import load
from tests.servers.broker import FOREIGN, broker_process, embedded_broker
from tests.servers.process import free_ports

TOPIC = "interactions.chat"
embedded_only = pytest.mark.skipif(bool(FOREIGN), reason="stops and starts its broker, so it needs the embedded one")


def nowhere():
    return load(kafka_bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")


def values(settings):
    return sorted(entry.value for entry in ReplayLog(settings).read(TOPIC))


def test_an_undeliverable_record_is_unavailable_in_time():
    producer = LogProducer(nowhere(), timeout_s=1.0)
    with pytest.raises(Unavailable, match=TOPIC):
        producer.send(TOPIC, "k", b"v").result(10)
    with pytest.raises(Unavailable):
        producer.send_all([LogRecord(TOPIC, "k", b"v")])
    producer.close()


def test_a_full_queue_is_busy(monkeypatch):
    monkeypatch.setattr(producer_module, "_MAX_QUEUE_RECORDS", 10)
    producer = LogProducer(nowhere(), timeout_s=1.0)
    for _ in range(10):
        producer.send(TOPIC, "k", b"v")
    with pytest.raises(Busy) as caught:
        producer.send(TOPIC, "k", b"v")
    assert caught.value.retry_after > 0
    producer.close()


def test_a_closed_producer_accepts_no_record_and_leaves_no_future_open():
    producer = LogProducer(nowhere(), timeout_s=0.5)
    pending = producer.send(TOPIC, "k", b"v")
    producer.close()
    producer.close()
    with pytest.raises(Unavailable):
        pending.result(0)
    with pytest.raises(Unavailable, match="closed"):
        producer.send(TOPIC, "k", b"v")


def test_its_thread_ends_with_it():
    producer = LogProducer(nowhere(), timeout_s=0.5)
    assert producer._thread.is_alive()
    producer.close()
    assert not producer._thread.is_alive()


@pytest.mark.broker
@embedded_only
def test_after_a_fatal_error_a_new_producer_writes_and_the_old_ones_records_are_reported(tmp_path):
    port = free_ports(1)[0]
    # As long as a broker may take to start on a busy machine.
    producer = LogProducer(load(kafka_bootstrap_servers=f"127.0.0.1:{port}"), timeout_s=60.0)
    stranded = producer.send(TOPIC, "k", b"stranded")
    failed = producer._producer
    fatal = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "sequence lost", fatal=True)
    for _ in range(2):  # every record of the failed one reports the same error
        producer._renew_if_fatal(fatal, failed)
    assert producer._retired == [failed]
    with embedded_broker(tmp_path, port) as address:
        ensure_topics(load(kafka_bootstrap_servers=address))
        producer.send(TOPIC, "k", b"new").result(60)
        with suppress(Unavailable):  # nothing is wrong with the old one here: it may still deliver
            stranded.result(60)
    producer.close()
    assert stranded.done()
    assert producer._retired == []


@pytest.mark.broker
@embedded_only
def test_what_was_sent_before_closing_is_on_the_log(tmp_path):
    with embedded_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address)
        ensure_topics(settings)
        producer = LogProducer(settings)
        futures = [producer.send(TOPIC, f"k{i}", str(i).encode()) for i in range(500)]
        producer.close()
        assert all(future.done() for future in futures)
        assert len(values(settings)) == 500


@pytest.mark.broker
@embedded_only
def test_more_than_the_queue_holds_can_be_sent_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(producer_module, "_MAX_QUEUE_RECORDS", 100)
    with embedded_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address)
        ensure_topics(settings)
        producer = LogProducer(settings, timeout_s=60)
        positions = producer.send_all(LogRecord(TOPIC, f"k{i}", b"v") for i in range(2_000))
        assert len(set(positions)) == 2_000
        producer.close()


def test_a_full_queue_is_waited_for(monkeypatch):
    producer = LogProducer(load(kafka_bootstrap_servers="127.0.0.1:1"))
    answers = iter([BufferError, BufferError, None])

    def produce(*_, **__):
        if (error := next(answers)) is not None:
            raise error

    monkeypatch.setattr(producer, "_producer", SimpleNamespace(produce=produce, poll=lambda _: time.sleep(0.01)))
    assert not producer._enqueue(LogRecord(TOPIC, "k", b"v"), []).done()
    assert next(answers, "all asked") == "all asked"
    producer._closed.set()
    producer._thread.join()


@pytest.mark.broker
@embedded_only
def test_a_record_over_the_brokers_limit_is_too_large(tmp_path):
    with embedded_broker(tmp_path) as address:
        settings = load(kafka_bootstrap_servers=address)
        ensure_topics(settings)
        producer = LogProducer(settings)
        with pytest.raises(TooLarge):
            producer.send_all([LogRecord(TOPIC, "k", bytes(2_000_000))])
        producer.send_all([LogRecord(TOPIC, "k", b"small")])
        producer.close()


@pytest.mark.broker
@embedded_only
def test_a_killed_and_restarted_broker_loses_no_acknowledged_record_and_duplicates_none(tmp_path):
    port = free_ports(1)[0]
    settings = load(kafka_bootstrap_servers=f"127.0.0.1:{port}")
    with broker_process(tmp_path, port) as process:
        ensure_topics(settings)
        producer = LogProducer(settings, timeout_s=60.0)
        acknowledged = [producer.send(TOPIC, f"k{i % 9}", b"a%d" % i) for i in range(300)]
        for future in acknowledged:
            future.result(60)
        process.kill()
        process.wait(10)
    waiting = [producer.send(TOPIC, f"k{i % 9}", b"b%d" % i) for i in range(300)]
    with embedded_broker(tmp_path, port):
        for future in waiting:
            future.result(60)
        found = values(settings)
        assert found == sorted([*(b"a%d" % i for i in range(300)), *(b"b%d" % i for i in range(300))])
        producer.close()


@pytest.mark.broker
@embedded_only
def test_a_broker_that_lost_its_data_is_written_to_again(tmp_path):
    port = free_ports(1)[0]
    with embedded_broker(tmp_path, port) as address:
        settings = load(kafka_bootstrap_servers=address)
        ensure_topics(settings)
        producer = LogProducer(settings, timeout_s=30.0)
        producer.send_all([LogRecord(TOPIC, "k", b"lost") for _ in range(20)])
    shutil.rmtree(tmp_path / "data")
    with embedded_broker(tmp_path, port):
        ensure_topics(settings)
        for attempt in range(5):
            try:
                producer.send_all([LogRecord(TOPIC, "k", b"kept")])
                break
            except Unavailable:
                assert attempt < 4, "it never came back"
        assert values(settings)[-1] == b"kept"
        producer.close()


@pytest.mark.broker
@embedded_only
def test_a_broker_killed_under_load_loses_no_acknowledged_record(tmp_path):
    port = free_ports(1)[0]
    with embedded_broker(tmp_path, port) as address:
        settings = load(kafka_bootstrap_servers=address)
        ensure_topics(settings)
    producer = LogProducer(settings, timeout_s=60.0)
    sent = []

    def load_it(stop):
        number = 0
        # Stays below the producer's queue of 50,000, which another test fills.
        while not stop.is_set() and number < 20_000:
            sent.append((b"%d" % number, producer.send(TOPIC, f"k{number % 5}", b"%d" % number)))
            number += 1
            if number % 50 == 0:
                stop.wait(0.01)

    stop = threading.Event()
    writer = threading.Thread(target=load_it, args=(stop,))
    with broker_process(tmp_path, port) as process:
        writer.start()
        while sum(future.done() for _, future in list(sent)) < 200:
            stop.wait(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with embedded_broker(tmp_path, port):
        stop.set()
        writer.join()
        acknowledged = {value for value, future in sent if future.exception(70) is None}
        found = values(settings)
        assert acknowledged <= set(found)
        assert len(acknowledged) > 200
        producer.close()
