"""Measures what the log costs: the embedded broker by itself, and one more hop through it.

    python -m benchmarks.replay_log [--records 200000] [--singles 2000]

Broker: a fresh one, four topic partitions, acks=all (on disk), through confluent-kafka in this process. Hop: a record
is produced, a Quix application with our settings reads it and publishes it in a micro-batch, and this process gets it:
as derivers do, at once, with a commit each quarter of a second; at each commit, 0.05 s apart; and with Quix's default
of 5 s. Processor is that of application and broker for one record.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.machine import cpu_seconds, describe, resident_bytes
from mmplatform.consumers.batch_sink import BatchSink, EagerSink
from mmplatform.consumers.quix_app import open_app, open_topic
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.topics import ensure_topics
from mmplatform.modalities import ARTIFACTS_TOPIC, MODALITIES
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.settings import Settings, load
from mmplatform.telemetry.freshness import Quantiles

SOURCE = MODALITIES["chat"].topic
WARM = 50
PAUSE_S = 0.02


@contextmanager
def broker(folder: Path) -> Iterator[tuple[Settings, psutil.Process, float]]:
    """A broker of its own: settings that point at it, its process, and the seconds until it answered."""
    port_file = folder / "port"
    command = [sys.executable, "-m", "mmplatform.local.broker", "--data", str(folder / "data"), "--port", "0"]
    began = time.perf_counter()
    with (folder / "broker.log").open("wb") as log:
        child = subprocess.Popen(
            [*command, "--port-file", str(port_file), "--exit-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        try:
            while not port_file.exists():
                if child.poll() is not None:
                    raise SystemExit((folder / "broker.log").read_text())
                time.sleep(0.005)
            elapsed_s = time.perf_counter() - began
            settings = load(data_dir=folder, kafka_bootstrap_servers=f"127.0.0.1:{port_file.read_text()}")
            ensure_topics(settings)
            yield settings, psutil.Process(child.pid), elapsed_s
        finally:
            child.terminate()
            child.wait(20)


def throughput(settings: Settings, records: int) -> tuple[float, float]:
    """Records of 1 KB a second, in and out."""
    producer = LogProducer(settings, timeout_s=60, linger_s=0.005)
    value = bytes(1000)
    began = time.perf_counter()
    producer.send_all(LogRecord(SOURCE, str(number), value) for number in range(records))
    produced = records / (time.perf_counter() - began)
    producer.close()
    consumer = _reader(settings, SOURCE, 0)
    got, began = 0, 0.0
    while got < records:
        got += len(consumer.consume(10_000, 1.0))
        began = began or time.perf_counter()  # the connection is not what is measured
    consumed = records / (time.perf_counter() - began)
    consumer.close()
    return produced, consumed


def acknowledgements(settings: Settings, count: int) -> Quantiles:
    """Seconds until a single record of 100 bytes is acknowledged, nothing else running."""
    producer = LogProducer(settings, linger_s=0)
    waits = []
    for number in range(count + WARM):
        began = time.perf_counter()
        producer.send(SOURCE, str(number), bytes(100)).result(10)
        waits.append(time.perf_counter() - began)
    producer.close()
    found = Quantiles.from_seconds(waits[WARM:])
    assert found is not None
    return found


def pass_on(settings: Settings, commit_s: float, sink: type[BatchSink]) -> None:
    """The Quix application: what it reads, it publishes, as a deriver without a model would."""
    producer = LogProducer(settings)
    app = open_app(settings, group=f"hop-{commit_s}", topics=(SOURCE,), commit_interval_s=commit_s, commit_every=10_000)

    def land(records: list[ConsumedRecord]) -> None:
        producer.send_all(LogRecord(ARTIFACTS_TOPIC, None, record.value or b"") for record in records)

    opened = sink(settings, land)
    if isinstance(opened, EagerSink):
        app.pace_by(opened)
    app.dataframe(open_topic(app, settings, SOURCE)).sink(opened)
    app.run()


def hop(
    settings: Settings, server: psutil.Process, commit_s: float, sink: type[BatchSink], count: int
) -> tuple[Quantiles, float]:
    """Seconds from before a record is produced until it comes out behind the application, and processor seconds."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=pass_on, args=(settings, commit_s, sink), daemon=True)
    process.start()
    used = 0.0
    consumer, producer = _reader(settings, ARTIFACTS_TOPIC, None), LogProducer(settings, linger_s=0)
    waits: list[float] = []
    due, warm = time.time(), float("inf")
    while len(waits) < count:
        if time.time() >= due:
            due = time.time() + PAUSE_S
            producer.send(SOURCE, None, f"{commit_s} {time.time()}".encode())
        for message in consumer.consume(100, 0.002):
            marker, sent = (message.value() or b"- 0").split()
            if warm == float("inf"):  # what was produced before the group had joined is not what is measured
                warm, used = time.time(), cpu_seconds(process.pid or 0) + cpu_seconds(server.pid)
            if marker == str(commit_s).encode() and float(sent) > warm:
                waits.append(time.time() - float(sent))
    used = cpu_seconds(process.pid or 0) + cpu_seconds(server.pid) - used
    process.terminate()
    process.join(20)
    producer.close()
    consumer.close()
    found = Quantiles.from_seconds(waits[WARM:])
    assert found is not None
    return found, used / len(waits)


def _reader(settings: Settings, topic: str, start: int | None) -> Consumer:
    more = {"group.id": "reader", "fetch.wait.max.ms": 10, "fetch.queue.backoff.ms": 5, "enable.auto.commit": False}
    consumer = Consumer(client_config(settings) | more)
    positions = [
        TopicPartition(topic, number) for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ]
    for position in positions:
        position.offset = consumer.get_watermark_offsets(position, timeout=10)[1] if start is None else start
    consumer.assign(positions)
    return consumer


def _report(name: str, found: Quantiles) -> None:
    figures = "   ".join(f"{q} {getattr(found, q) * 1000:8.1f}" for q in ("p50", "p95", "p99", "max"))
    print(f"{name:<46}{figures}   ms, {found.count} records", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--singles", type=int, default=2000)
    arguments = parser.parse_args()
    print(f"machine: {describe()}")
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as (settings, process, elapsed_s):
        print(f"broker answers after {elapsed_s:.2f} s")
        _report("a single record acknowledged", acknowledgements(settings, arguments.singles))
        produced, consumed = throughput(settings, arguments.records)
        print(f"{arguments.records} records of 1 KB: {produced:,.0f}/s in, {consumed:,.0f}/s out")
        print(f"broker's memory {resident_bytes([process.pid]) / 2**20:.0f} MiB")
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as (settings, process, elapsed_s):
        for commit_s, sink, singles in (
            (settings.derive_commit_interval_s, EagerSink, arguments.singles),
            (0.05, BatchSink, arguments.singles),
            (5.0, BatchSink, arguments.singles // 2),
        ):
            name = "at once, commit" if sink is EagerSink else "at the commit,"
            found, used = hop(settings, process, commit_s, sink, singles)
            _report(f"one hop, {name} every {commit_s:g} s, {1000 * used:.2f} ms CPU", found)


if __name__ == "__main__":
    main()
