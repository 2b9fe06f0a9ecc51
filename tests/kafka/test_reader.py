"""Reader of the replay log on a broker that dies: a process that reads the lag outlives it."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from mmplatform.errors import PlatformError, Unavailable
from mmplatform.kafka.connection import admin_client, client_config
from mmplatform.kafka.reader import ReplayLog
from mmplatform.settings import load
from tests.servers.broker import broker_process
from tests.servers.process import free_ports, running

TOPIC, GROUP = "interactions.chat", "derive-chat"
# A process of its own, since the test is that it survives: it reads the lag 200 times a second until its input ends.
READING = f"""
import select, sys, time
from mmplatform.errors import PlatformError
from mmplatform.kafka.reader import ReplayLog
from mmplatform.settings import load
log = ReplayLog(load(kafka_bootstrap_servers=sys.argv[1]), timeout_s=1.0)
while not select.select([sys.stdin], [], [], 0.005)[0]:
    try:
        print("lag", sum(log.lag("{GROUP}", ["{TOPIC}"])["{TOPIC}"].values()), flush=True)
    except PlatformError:
        print("away", flush=True)
"""

pytestmark = pytest.mark.broker


def create_and_commit(settings):
    client = admin_client(settings)
    if TOPIC not in client.list_topics(timeout=10).topics:
        [created] = client.create_topics([NewTopic(TOPIC, num_partitions=2, replication_factor=1)]).values()
        created.result(10)
    with closing(Consumer(client_config(settings) | {"group.id": GROUP})) as consumer:
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, 0)], asynchronous=False)


def next_line(child, wanted, timeout_s=20.0):
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        line = child.stdout.readline().strip()
        assert line, f"the asking process ended with {child.wait(5)}"
        if line.startswith(wanted):
            return line
    raise AssertionError(f"{wanted!r} did not come within {timeout_s} s")


@contextmanager
def reading(address):
    """A process that asks for the lag until the block ends; it must live until then."""
    command = [sys.executable, "-c", READING, address]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield child
        child.communicate("", timeout=20)
        assert child.returncode == 0
    finally:
        child.kill()
        child.communicate()


def test_a_process_that_reads_the_lag_outlives_three_kills_of_the_broker(tmp_path):
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    with reading(address) as child:
        for _ in range(3):
            next_line(child, "away")
            with broker_process(tmp_path, port) as broker:
                create_and_commit(load(kafka_bootstrap_servers=address))
                assert next_line(child, "lag") == "lag 0"
                broker.kill()
        next_line(child, "away")


def test_reading_a_groups_lag_joins_no_group(tmp_path):
    [port] = free_ports(1)
    settings = load(kafka_bootstrap_servers=f"127.0.0.1:{port}")
    with broker_process(tmp_path, port):
        create_and_commit(settings)
        log = ReplayLog(settings)
        assert log.lag(GROUP, [TOPIC]) == {TOPIC: {0: 0, 1: 0}}
        client = admin_client(settings)
        described = client.describe_consumer_groups([GROUP])[GROUP].result(10)
        assert list(described.members) == []


def test_a_closed_reader_has_closed_its_consumers_and_answers_no_more(tmp_path):
    [port] = free_ports(1)
    settings = load(kafka_bootstrap_servers=f"127.0.0.1:{port}")
    with broker_process(tmp_path, port):
        create_and_commit(settings)
        with ReplayLog(settings) as log:
            log.lag(GROUP, [TOPIC])
            [queried] = log._group_consumers.values()
        with pytest.raises(RuntimeError, match="closed"):
            queried.consumer.assignment()
        with pytest.raises(Unavailable, match="this reader is closed"):
            log.lag(GROUP, [TOPIC])
        log.close()


def test_the_lag_of_a_missing_broker_is_unavailable():
    [port] = free_ports(1)
    log = ReplayLog(load(kafka_bootstrap_servers=f"127.0.0.1:{port}"), timeout_s=0.5)
    with pytest.raises(Unavailable, match="asking the broker"):
        log.lag(GROUP, [TOPIC])


# The embedded broker, but the group's coordinator has moved at every other look, as Kafka's has after a failover.
MOVING = """
import dataclasses, itertools, sys
from kio.schema.errors import ErrorCode
from mmplatform.local.broker import dispatch
from mmplatform.local.broker.__main__ import main
fetch = dispatch.APIS[9]
errors = itertools.cycle([ErrorCode.not_coordinator, ErrorCode.none])
async def moving(node, call, request):
    return dataclasses.replace(await fetch.handler(node, call, request), error_code=next(errors))
dispatch.APIS[9] = dataclasses.replace(fetch, handler=moving)
sys.exit(main())
"""


def test_a_moved_coordinator_does_not_end_the_reading_process(tmp_path):
    """Librdkafka 2.12 dereferences the group of an admin client, which has none, at just this answer."""
    [port] = free_ports(1)
    settings = load(kafka_bootstrap_servers=f"127.0.0.1:{port}")
    broker = [sys.executable, "-c", MOVING, "--data", str(tmp_path / "data"), "--port", str(port)]
    with (
        running(broker, log=tmp_path / "broker.log", ready=lambda: answers(settings)),
        reading(settings.kafka_bootstrap_servers) as child,
    ):
        create_and_commit(settings)
        assert [next_line(child, "lag") for _ in range(5)] == ["lag 0"] * 5


def answers(settings):
    try:
        ReplayLog(settings, timeout_s=1.0).check_reachable()
    except PlatformError:
        return False
    return True
