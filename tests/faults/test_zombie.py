"""A zombie: a deriver that stands still beyond its session, loses its work to another, and wakes up with the old text.

Kafka does not fence its producer, so what it publishes lies on the log behind the newer text. Both stores and a rebuild
hold the newer one all the same, because its version is higher.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from contextlib import closing, contextmanager

import pytest

from mmplatform.artifacts import decode_artifact
from mmplatform.events import encode, utc_now
from mmplatform.kafka.headers import Pseudonyms, event_headers
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARTIFACTS_TOPIC, CHAT
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.settings import load
from tests.builders import chat
from tests.faults.slow_deriver import DERIVING
from tests.pipeline.conftest import chroma, dual_write_index, index
from tests.pipeline.stream import Stream
from tests.servers.broker import any_broker
from tests.waiting import eventually

__all__ = ["chroma", "dual_write_index", "index"]
pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(180)]
SESSION_S = 6.0
"""Kafka takes a silent member's topic partitions after as long."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as address:
        yield address


@pytest.fixture
def settings(tmp_path, broker, chroma):
    prefix = f"t{uuid.uuid4().hex[:8]}."
    return load(
        data_dir=tmp_path / "data", kafka_bootstrap_servers=broker, topic_prefix=prefix, chroma_url=chroma,
        topic_partitions=1,
    )  # fmt: skip


@contextmanager
def deriver(settings, name, seconds):
    command = [sys.executable, "-m", "tests.faults.slow_deriver", str(settings.data_dir)]
    command += [settings.kafka_bootstrap_servers, settings.topic_prefix, name, str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def is_deriving(child):
    return any(DERIVING in line for line in child.stdout)


def messages(log, settings):
    """What the derivers published of the one message, in the order of the log."""
    entries = log.read(topic_name(settings, ARTIFACTS_TOPIC))
    found = [decode_artifact(entry.value, entry.headers) for entry in entries]
    return [each for each in found if each.kind == "message"]


def records(log, settings):
    now = utc_now()
    return [
        ConsumedRecord(
            entry.position.model_copy(update={"topic": ARTIFACTS_TOPIC}), entry.value, now, (), entry.headers, now
        )
        for entry in log.read(topic_name(settings, ARTIFACTS_TOPIC))
    ]


def send(settings, event):
    with closing(LogProducer(settings)) as producer:
        headers = event_headers(event, Pseudonyms(b"key"))
        name = topic_name(settings, CHAT.topic)
        producer.send(name, event.conversation_key, encode(event), headers=headers).result(timeout=30)


def test_what_a_deriver_publishes_after_its_session_does_not_overwrite_the_newer_text(
    settings, dual_write_index, index
):
    ensure_topics(settings)
    log, event = ReplayLog(settings), chat(0, text="it failed")
    with deriver(settings, "zombie", 2.0) as zombie:
        send(settings, event)
        assert is_deriving(zombie)
        zombie.send_signal(signal.SIGSTOP)
        with deriver(settings, "heir", 0.0):
            # The heir gets the topic partition once the zombie's session is over, and derives the event again; then its
            # source repeats it, which is a later event.
            eventually(lambda: messages(log, settings), SESSION_S + 40)
            send(settings, event)
            eventually(lambda: len(messages(log, settings)) == 2, 30)
            zombie.send_signal(signal.SIGCONT)
            eventually(lambda: len(messages(log, settings)) == 3, 30)
    published = messages(log, settings)
    assert [each.text.rsplit(", said ", 1)[1] for each in published] == ["heir", "heir", "zombie"]
    assert len({each.artifact_id for each in published}) == 1
    assert published[2].version < published[1].version

    lakehouse = Lakehouse.open(settings)
    lakehouse.ensure_tables()
    stream = Stream(lakehouse, dual_write_index)
    for record in records(log, settings):
        stream.archive([record])
        stream.write_index([record])
    assert lakehouse.scan("messages").column("text").to_pylist() == ["it failed, said heir"]
    assert [text for _, text, _ in index.rows(modality="chat", since=event.event_time, until=utc_now())] == [
        "it failed, said heir"
    ]
