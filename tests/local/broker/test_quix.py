"""Quix Streams on the embedded broker: at-least-once, with state that is rebuilt from its changelog."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.local.broker.clients import unique

pytestmark = pytest.mark.broker


def run(kafka, group, state, source, target, count):
    from quixstreams import Application

    application = Application(
        broker_address=kafka.address,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=state,
        commit_interval=0.2,
        processing_guarantee="at-least-once",
        loglevel="ERROR",
        consumer_extra_config={"fetch.wait.max.ms": 50, "heartbeat.interval.ms": 200},
    )
    frame = application.dataframe(application.topic(source))

    def counted(value, memory):
        seen = memory.get("seen", 0) + 1
        memory.set("seen", seen)
        return {**value, "seen": seen}

    frame = frame.apply(counted, stateful=True)
    frame.to_topic(application.topic(target))
    application.run(count=count, timeout=30)


def send(kafka, topic, numbers):
    producer = kafka.producer()
    for number in numbers:
        producer.produce(
            topic,
            key=f"k{number % 10}",
            value=json.dumps({"n": number}),
            headers=[("h", str(number))],
            timestamp=1_600_000_000_000 + number,
        )
    assert producer.flush(20) == 0


def test_a_stateful_pass_through_loses_nothing_and_recovers_its_state(kafka, tmp_path):
    config = {"retention.ms": "-1"}
    source, target, group = kafka.topic(4, config), kafka.topic(4, config), unique("quix")
    send(kafka, source, range(500))
    run(kafka, group, tmp_path / "state", source, target, 500)
    shutil.rmtree(tmp_path / "state")  # what follows must come from the changelog topic
    send(kafka, source, range(500, 520))
    run(kafka, group, tmp_path / "state", source, target, 20)

    out = kafka.read(target, 4, count=520)
    values = [json.loads(message.value()) for message in out]
    assert sorted(value["n"] for value in values) == list(range(520))
    assert {value["n"]: value["seen"] for value in values} == {number: number // 10 + 1 for number in range(520)}
    assert all(message.headers() == [("h", str(json.loads(message.value())["n"]).encode())] for message in out)
    assert all(message.timestamp()[1] == 1_600_000_000_000 + json.loads(message.value())["n"] for message in out)
    (changelog,) = [
        name for name in kafka.admin.list_topics(timeout=10).topics if name.startswith(f"changelog__{group}")
    ]
    assert kafka.configs(changelog)["cleanup.policy"] == "compact"
