"""A replay for a consumer group of one's own, on a real broker, read on by a real Quix application."""

from __future__ import annotations

import json
import re
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from quixstreams import Application
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.errors import Rejected
from mmplatform.kafka.connection import client_config, quix_connection
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.replay import (
    check_group,
    commit_replay,
    parse_replay_bound,
    plan_replay,
    resolve_topic,
)
from mmplatform.kafka.topics import ensure_topics
from mmplatform.modalities import ARCHIVE_GROUP, CHAT, INDEX_GROUP
from mmplatform.settings import load
from tests.servers.broker import any_broker
from tests.waiting import eventually

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


@pytest.fixture
def settings(address, tmp_path, monkeypatch):
    given = {
        "kafka_bootstrap_servers": address,
        "topic_prefix": f"t{uuid.uuid4().hex[:8]}.",
        "data_dir": str(tmp_path),
        "topic_partitions": "1",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"MMPLATFORM_{name.upper()}", value)
    settings = load()
    ensure_topics(settings)
    return settings


@pytest.fixture
def log(settings):
    with ReplayLog(settings) as opened:
        yield opened


def write(settings, *values):
    with closing(LogProducer(settings)) as producer:
        topic = resolve_topic(settings, "chats")
        return [producer.send(topic, "c", value.encode()).result(30) for value in values]


def read_with_quix(settings, group, count):
    """Values that a Quix application of the group reads first."""
    application = Application(
        broker_address=quix_connection(settings), consumer_group=group, auto_offset_reset="latest", loglevel=None
    )
    topic = application.topic(resolve_topic(settings, "chats"), value_deserializer="string")
    return [row["value"] for row in _run(application, topic, count)]


def _run(application, topic, count):
    found = []
    application.dataframe(topic).update(lambda value: found.append({"value": value}))
    application.run(count=count, timeout=60)
    return found


def test_a_quix_application_reads_on_from_the_offset_that_was_set(settings, log):
    write(settings, "one", "two", "three", "four")
    group = f"derivation-{uuid.uuid4().hex}"
    commit_replay(settings, group, plan_replay(log, resolve_topic(settings, "chats"), 2))
    assert read_with_quix(settings, group, 2) == ["three", "four"]


def test_a_time_is_that_of_the_append(settings, log):
    write(settings, "before")
    time.sleep(0.05)
    moment = datetime.now(UTC)
    time.sleep(0.05)
    write(settings, "after", "later")
    topic = resolve_topic(settings, "chat")
    [part] = plan_replay(log, topic, moment)
    assert (part.offset, part.end, part.records) == (1, 3, 2)
    [bounded] = plan_replay(log, topic, "earliest", moment)
    assert (bounded.offset, bounded.end) == (0, 1)
    [nothing] = plan_replay(log, topic, moment + timedelta(hours=1))
    assert nothing.records == 0
    with pytest.raises(Rejected, match="ends before it starts"):
        plan_replay(log, topic, moment, "earliest")
    with pytest.raises(Rejected, match="has no offset 9"):
        plan_replay(log, topic, 9)


def test_a_group_with_members_is_refused_and_one_with_offsets_until_it_is_overwritten(settings, log):
    write(settings, "one", "two")
    group, topic = f"derivation-{uuid.uuid4().hex}", resolve_topic(settings, "chats")
    plan = plan_replay(log, topic, "earliest")
    commit_replay(settings, group, plan)
    with pytest.raises(Rejected, match=r"has read .* up to offset 0"):
        commit_replay(settings, group, plan)
    with closing(Consumer(client_config(settings) | {"group.id": group})) as member:
        member.subscribe([topic])
        eventually(lambda: (member.poll(0.2), member.assignment())[1] or None, within_s=60)
        with pytest.raises(Rejected, match="has 1 live members"):
            commit_replay(settings, group, plan, overwrite=True)
    latest = plan_replay(log, topic, "latest")
    commit_replay(settings, group, latest, overwrite=True)
    assert log.progress(group, [topic])[topic][0].next_offset == 2


@pytest.mark.parametrize(
    ("group", "verb"),
    [
        (INDEX_GROUP, "mmplatform index rebuild"),
        (ARCHIVE_GROUP, "mmplatform lakehouse rebuild"),
        (CHAT.group, "mmplatform reprocess messages HOUR"),
    ],
)
def test_the_group_of_a_worker_is_refused_with_the_verb_that_fills_its_store(settings, group, verb):
    with pytest.raises(Rejected, match=verb):
        check_group(settings, f"{settings.topic_prefix}{group}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("yesterday", "neither a time nor an offset"), ("2026-11-30T12:00", "no zone"), ("-1", "neither")],
)
def test_a_start_that_is_no_time_and_no_offset_is_refused(text, reason):
    with pytest.raises(Rejected, match=reason):
        parse_replay_bound(text)


def test_the_verb_shows_what_it_sets_and_a_dry_run_sets_nothing(settings, log):
    write(settings, "one", "two", "three")
    group, topic = f"derivation-{uuid.uuid4().hex}", resolve_topic(settings, "chats")
    command = ["replay", "--topic", "chats", "--from", "1", "--group", group]
    shown = CliRunner().invoke(app, [*command, "--dry-run"])
    assert f"group {group} would read 2 records; nothing was set" in shown.output
    assert log.progress(group, [topic])[topic][0].next_offset == 0
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert f"group {group} reads 2 records" in done.output
    assert log.progress(group, [topic])[topic][0].next_offset == 1
    fresh = CliRunner().invoke(app, ["replay", "--topic", "chats", "--from", "2000-01-01T00:00Z"])
    assert "group replay-" in fresh.output
    assert "reads 3 records" in fresh.output


def test_the_example_of_the_docs_reads_the_replayed_records(settings, log, capsys):
    page = (Path(__file__).parents[2] / "docs/how-to/replay.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    group, topic = f"derivation-{uuid.uuid4().hex}", resolve_topic(settings, "chats")
    values = [json.dumps({"conversation_id": f"conv-{number}", "text": "two words"}) for number in range(3)]
    write(settings, *values)
    commit_replay(settings, group, plan_replay(log, topic, 1))
    for text, value in {
        "127.0.0.1:9092": settings.kafka_bootstrap_servers,
        "my-derivation": group,
        "interactions.chat": topic,
        "run()": "run(count=2, timeout=60)",
    }.items():
        assert text in example
        example = example.replace(text, value)
    exec(compile(example, "replay.md", "exec"), {})  # noqa: S102 - the page's own program
    assert [line for line in capsys.readouterr().out.splitlines() if line.endswith("words")] == [
        "conv-1 2 words",
        "conv-2 2 words",
    ]
