"""The broker as a process: what it survives, when it ends, and whom it does not serve."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from mmplatform.local.broker.process import CannotStart, check_loopback, lock_directory
from tests.local.broker.clients import Clients, poll, unique, until
from tests.local.broker.running import BrokerProcess, command

pytestmark = pytest.mark.broker


# --- what it survives --------------------------------------------------------------------------------------------


class Load(threading.Thread):
    """Keeps producing numbered records, and records which were acknowledged, until it is stopped."""

    def __init__(self, producer: Producer, topic: str) -> None:
        super().__init__()
        self.acknowledged: set[bytes] = set()
        self.stop = threading.Event()
        self._producer, self._topic = producer, topic

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            try:
                self._producer.produce(self._topic, value=b"%d" % number + b"." * 500, on_delivery=self._delivered)
                number += 1
            except BufferError:
                self._producer.poll(0.01)
            if number % 50 == 0:
                self._producer.poll(0)
        self._producer.flush(20)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.acknowledged.add(message.value())


@pytest.mark.parametrize("idempotent", [False, True])
def test_no_acknowledged_record_is_lost_when_the_broker_is_killed_under_load(broker, kafka, idempotent):
    topic = kafka.topic(4, {"segment.bytes": "1000000"})
    settings = {"enable_idempotence": idempotent, "queue_buffering_max_messages": 5000, "reconnect_backoff_max_ms": 100}
    load = Load(kafka.producer(**settings), topic)
    load.start()
    for _ in range(3):
        before = len(load.acknowledged)
        until(lambda: len(load.acknowledged) > before + 3000)  # noqa: B023 - called in this round only
        broker.kill()
        broker.start()
    load.stop.set()
    load.join()
    read = [message.value() for message in kafka.read(topic, 4)]
    assert len(load.acknowledged) > 9000
    assert load.acknowledged - set(read) == set()
    if idempotent:
        assert len(read) == len(set(read))  # what the broker had is not written again when it is sent again


def test_a_commit_and_a_topic_outlive_a_kill(broker, kafka):
    topic, group = kafka.topic(3, {"retention.ms": "-1"}), unique("group")
    kafka.produce(topic, [b"x"] * 5)
    kafka.consumer(group).commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
    broker.kill()
    broker.start()
    assert len(kafka.admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3
    assert kafka.configs(topic)["retention.ms"] == "-1"
    assert kafka.consumer(group).committed([TopicPartition(topic, 0)], timeout=10)[0].offset == 4
    assert kafka.watermarks(topic) == (0, 5)


def test_members_of_a_group_read_on_over_a_kill_without_a_rebalance(broker, kafka):
    topic, group = kafka.topic(2), unique("group")
    assignments = []
    # The session must outlast the kill, the start and the reconnect, however slow the machine is.
    consumer = kafka.consumer(group, reconnect_backoff_max_ms=100, session_timeout_ms=30_000)
    consumer.subscribe([topic], on_assign=lambda _consumer, partitions: assignments.append(len(partitions)))
    until(lambda: consumer.consume(1, 0.1) == [] and assignments == [2])
    broker.kill()
    broker.start()
    kafka.produce(topic, [b"after"])
    assert [message.value() for message in _patiently(consumer, 1)] == [b"after"]
    consumer.commit(asynchronous=False)
    assert assignments == [2]
    consumer.close()


def _patiently(consumer, count):
    """Messages, past the errors of a connection that was lost."""
    found = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        found += [message for message in consumer.consume(count, 0.1) if message.error() is None]
    return found


def test_a_clean_end_leaves_nothing_to_recover(broker, kafka):
    topic = kafka.topic()
    kafka.produce(topic, [b"x"] * 1000)
    assert broker.end() == 0
    broker.start()
    assert kafka.watermarks(topic) == (0, 1000)
    assert not [event for event in broker.events() if event["event"] == "torn_tail_cut"]


def test_a_torn_tail_is_cut_at_start_and_logged(broker, kafka):
    topic = kafka.topic()
    kafka.produce(topic, [b"x"] * 10)
    broker.kill()
    (segment,) = broker.data.glob(f"topics/{topic}.*/0/*.log")
    with segment.open("ab") as file:
        file.write(b"half a batch")
    broker.start()
    assert kafka.watermarks(topic) == (0, 10)
    (event,) = [event for event in broker.events() if event["event"] == "torn_tail_cut"]
    assert event["cut_bytes"] == 12


def test_a_deletion_that_a_kill_interrupted_is_finished(broker, kafka):
    topic = kafka.topic()
    (folder,) = broker.data.glob(f"topics/{topic}.*")
    broker.kill()
    store = sqlite3.connect(broker.data / "broker.sqlite")
    with store:  # what a deletion writes before it removes the files
        store.execute("insert into deleted_topics select id, name from topics where name = ?", (topic,))
        store.execute("delete from topics where name = ?", (topic,))
    store.close()
    assert folder.exists()
    broker.start()
    assert not folder.exists()
    assert topic not in kafka.admin.list_topics(timeout=10).topics


def test_compaction_after_a_restart_costs_nothing_when_the_broker_is_killed(tmp_path):
    with BrokerProcess(tmp_path, "--cleanup-interval", "0.2") as broker:
        kafka = Clients(broker.address)
        config = {"cleanup.policy": "compact", "segment.bytes": "20000", "min.cleanable.dirty.ratio": "0.01"}
        topic = kafka.topic(config=config)
        expected = {}

        def keyed(numbers):
            producer = kafka.producer(linger_ms=0, batch_num_messages=1)
            for number in numbers:
                key, value = b"k%d" % number if number % 2 else b"hot", b"%d" % number + os.urandom(900 - number)
                producer.produce(topic, key=key, value=value)
                expected[key] = (number, value)
            assert producer.flush(20) == 0

        keyed(range(5))
        assert broker.end() == 0  # the checkpoint now lies inside the first segment
        broker.start()
        keyed(range(5, 105))
        until(lambda: [event for event in broker.events() if event["event"] == "compacted"])
        broker.kill()
        broker.start()
        assert kafka.watermarks(topic)[1] == 105
        assert {message.key(): (message.offset(), message.value()) for message in kafka.read(topic)} == expected
        assert not [event for event in broker.events() if event["event"] in {"torn_tail_cut", "stale_checkpoint"}]


def test_a_topic_with_the_longest_name_outlives_a_restart(broker, kafka):
    names = [unique("n" * 220)[:size].ljust(size, "n") for size in (246, 247, 249)]
    for name in names:
        kafka.admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)
        kafka.produce(name, [name.encode()])
    broker.end()
    broker.start()
    assert [kafka.read(name)[0].value().decode() for name in names] == names
    futures = kafka.admin.delete_topics(names)
    for name in names:
        futures[name].result(20)
    assert not list(broker.data.glob("topics/nnn*"))


# A broker whose disk refuses every flush once the file that its first argument names is there.
_REFUSING = """
import os, pathlib, runpy, sys
refused, sync = pathlib.Path(sys.argv.pop(1)), os.fdatasync
def fdatasync(fd):
    if refused.exists():
        raise OSError(5, "Input/output error")
    sync(fd)
os.fdatasync = fdatasync
runpy.run_module("mmplatform.local.broker", run_name="__main__", alter_sys=True)
"""


def test_it_ends_when_the_disk_refuses_a_flush_and_the_next_start_has_every_acknowledged_record(tmp_path):
    port_file, refused, log = tmp_path / "port", tmp_path / "refused", tmp_path / "log"
    arguments = ["--data", str(tmp_path / "data"), "--port", "0", "--port-file", str(port_file), "--exit-with-stdin"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _REFUSING, str(refused), *arguments], stdin=subprocess.PIPE, stderr=output
        )
    until(port_file.exists)
    kafka = Clients(f"127.0.0.1:{port_file.read_text()}")
    topic = kafka.topic()
    kafka.produce(topic, [b"kept"])
    refused.touch()
    producer = kafka.producer(message_timeout_ms=1000)
    producer.produce(topic, value=b"refused", partition=0)
    assert process.wait(20) == 3
    process.stdin.close()
    assert "Input/output error" in log.read_text()
    producer.flush(20)
    with BrokerProcess(tmp_path) as broker:
        assert [message.value() for message in Clients(broker.address).read(topic)] == [b"kept"]


# --- when it ends ------------------------------------------------------------------------------------------------


def test_it_ends_when_its_standard_input_closes(broker):
    broker.process.stdin.close()
    assert broker.process.wait(10) == 0


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_a_signal(broker, by):
    assert broker.end(by) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process that its parent ended")
def test_it_ends_with_its_parent_even_when_its_standard_input_stays_open(tmp_path):
    port_file, reader, writer = tmp_path / "port", *os.pipe()
    child = [*command(tmp_path / "data", 0), "--port-file", str(port_file), "--exit-with-stdin"]
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=0).wait()", *child],
        stdin=reader,
        stderr=subprocess.DEVNULL,
    )
    until(port_file.exists)
    pid = int((tmp_path / "data" / "lock").read_text())
    parent.kill()
    parent.wait()
    until(lambda: not _is_running(pid), within_s=10)
    os.close(writer)
    os.close(reader)


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_ends_quickly_while_consumers_wait(broker, kafka):
    topic = kafka.topic()
    consumer = kafka.consumer(fetch_wait_max_ms=60_000)
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert consumer.poll(0.5) is None
    assert broker.end() == 0
    consumer.close()


# --- whom it does not serve --------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_an_address_that_others_can_reach_is_refused(host, tmp_path):
    refused = subprocess.run(
        [*command(tmp_path, 0), "--host", host], capture_output=True, text=True, timeout=20, check=False
    )
    assert refused.returncode == 2
    assert "this machine only" in refused.stderr
    assert "real Kafka" in refused.stderr
    with pytest.raises(CannotStart):
        check_loopback(host)


def _a_file_in_the_way(data):
    data.write_text("not a directory")


def _a_strange_database(data):
    data.mkdir()
    (data / "broker.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 100)


def _a_directory_for_a_database(data):
    (data / "broker.sqlite").mkdir(parents=True)


def _a_file_for_the_topics(data):
    data.mkdir()
    (data / "topics").write_text("not a directory")


@pytest.mark.parametrize(
    "obstacle", [_a_file_in_the_way, _a_strange_database, _a_directory_for_a_database, _a_file_for_the_topics]
)
def test_data_that_cannot_be_opened_is_named_and_not_touched(obstacle, tmp_path):
    data = tmp_path / "data"
    obstacle(data)
    refused = subprocess.run(command(data, 0), capture_output=True, text=True, timeout=20, check=False)
    assert refused.returncode == 2
    assert f"cannot open the data in {data}" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--port", "70000"], "cannot listen on 127.0.0.1:70000"), (["--port-file", "/nowhere/port"], "cannot write")],
)
def test_an_impossible_port_or_port_file_is_named(arguments, reason, tmp_path):
    refused = subprocess.run(
        [*command(tmp_path, 0), *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert refused.returncode == 2
    assert reason in refused.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_a_loopback_address_is_allowed(host):
    check_loopback(host)


def test_a_data_directory_has_one_owner(broker):
    second = subprocess.run(command(broker.data, 0), capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 2
    assert f"in use by another broker (pid {broker.process.pid})" in second.stderr


def test_a_lock_is_free_again_when_its_owner_has_ended(tmp_path):
    lock_directory(tmp_path).close()
    lock_directory(tmp_path).close()


def test_an_occupied_port_is_named(broker, tmp_path):
    second = subprocess.run(command(tmp_path, broker.port), capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 2
    assert f"cannot listen on 127.0.0.1:{broker.port}" in second.stderr


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
        (struct.pack(">i", 2**31 - 1), "the largest is"),
        (struct.pack(">i", -1), "the largest is"),
        (struct.pack(">i", 3) + b"abc", "fewer than 8 bytes"),
        (struct.pack(">ihhi", 8, 999, 0, 1), "999"),
        (struct.pack(">ihhi", 28, 0, 9, 1) + os.urandom(20), "api 0 version 9"),
    ],
    ids=["http", "tls", "huge", "negative", "short", "unknown api", "random body"],
)
def test_a_foreign_client_loses_only_its_own_connection(broker, kafka, sent, reason):
    topic = kafka.topic()
    consumer = kafka.consumer()
    consumer.assign([TopicPartition(topic, 0, 0)])
    with socket.create_connection(("127.0.0.1", broker.port), timeout=10) as foreign:
        foreign.sendall(sent)
        assert foreign.recv(100) == b""
    kafka.produce(topic, [b"unharmed"])
    assert [message.value() for message in poll(consumer, 1)] == [b"unharmed"]
    consumer.close()
    assert [event for event in broker.events() if reason in str(event.get("reason"))]


def test_half_a_request_waits_without_harm(broker, kafka):
    with socket.create_connection(("127.0.0.1", broker.port), timeout=10) as foreign:
        foreign.sendall(struct.pack(">i", 1000) + b"only so much")
        kafka.topic()


def test_a_version_too_new_is_answered_with_the_supported_ones(broker):
    with socket.create_connection(("127.0.0.1", broker.port), timeout=10) as client:
        client.sendall(struct.pack(">ihhi", 8, 18, 99, 42))
        size, correlation, error = struct.unpack(">iih", client.recv(10))
        assert (correlation, error) == (42, KafkaError.UNSUPPORTED_VERSION)
        assert size > 100


def test_a_transactional_producer_is_refused_at_once(kafka):
    with pytest.raises(KafkaException) as refusal:
        kafka.producer(transactional_id="t").init_transactions(10)
    assert refusal.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert "transactions are not supported by the embedded broker" in str(refusal.value)
