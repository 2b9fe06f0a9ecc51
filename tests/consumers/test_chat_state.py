"""The memory of chats in Quix's store, over a real broker: another worker goes on in the middle of a conversation."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.artifacts import Message, Passage, Retraction, artifact_id, decode_artifact
from mmplatform.consumers import deriver as deriver_module
from mmplatform.consumers.chat_state import QuixChatStore
from mmplatform.consumers.deriver import batch_app
from mmplatform.consumers.progress_reporter import ProgressReporter
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.chat_memory import RETENTION
from mmplatform.events import encode, utc_now
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import ARTIFACTS_TOPIC, CHAT, QUARANTINE_TOPIC
from mmplatform.refusals import Quarantined, Released, decode_quarantine_record
from mmplatform.settings import load
from mmplatform.telemetry.status_server import WorkerStatus
from tests.builders import chat
from tests.derive.test_chat import CountingEmbedder, SecretRedactor
from tests.derive.test_chat_fold import change, message, text
from tests.servers.broker import embedded_broker

CHANGELOG = "changelog__derive-chat--interactions.chat--default"


@pytest.fixture
def settings(tmp_path):
    with embedded_broker(tmp_path / "broker") as address:
        settings = load(kafka_bootstrap_servers=address, data_dir=tmp_path / "data", topic_partitions=1)
        ensure_topics(settings)
        yield settings


class Eager(QuixChatStore):
    """Sweeps with each micro-batch."""

    def sweep(self, *, interval_s=0.0):
        return super().sweep(interval_s=interval_s)


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setattr(deriver_module, "QuixChatStore", Eager)


def work(settings, instance, *events):
    """A worker with a disk of its own derives these events, and ends."""
    own = settings.model_copy(update={"worker_instance_id": instance, "data_dir": settings.data_dir / str(instance)})
    own = own.model_copy(update={"pseudonym_key": type(own.pseudonym_key)("the key of the installation")})
    producer = LogProducer(own)
    for event in events:
        producer.send(CHAT.topic, event.conversation_key, encode(event)).result(10)
    deriver = ChatDeriver(CountingEmbedder(), SecretRedactor(), MemoryMemo())
    reporter = ProgressReporter(own, CHAT, producer)
    batch_app(own, CHAT, deriver, producer, WorkerStatus("derive-chat"), reporter).run(timeout=3)
    producer.close()


def artifacts(settings):
    entries = ReplayLog(settings).read(ARTIFACTS_TOPIC)
    newest = {}
    for artifact in (decode_artifact(entry.value, entry.headers) for entry in entries):
        before = newest.get(artifact.artifact_id)
        if before is None or artifact.version >= before.version:
            newest[artifact.artifact_id] = artifact
    return list(newest.values())


def values(settings):
    """The state as the changelog has it: the newest value of each key that has one."""
    newest = {entry.raw_key: entry.value for entry in ReplayLog(settings).read(CHANGELOG)}
    return {key: value for key, value in newest.items() if value}


@pytest.mark.broker
@pytest.mark.timeout(180)
def test_another_worker_edits_deletes_and_lands_what_waited(settings):
    work(settings, 0, message(text=text(0, passages=3)), chat(1), change("edit", "e2", 2, text=text(2)))
    stored = b"".join([*values(settings), *values(settings).values()])
    assert not any(word in stored for word in (b"sentence", b"message number", b"text 2", b"cust-1"))
    work(
        settings,
        1,
        change("edit", "e0", 0, text=text(7)),
        change("redact", "d1", 1),
        change("edit", "e1", 1, text=text(9)),
        message(2),
    )
    found = artifacts(settings)
    texts = {each.provenance.event_ids[0]: each.text for each in found if isinstance(each, Message)}
    assert texts == {"chat-0": text(7), "chat-2": text(2)}
    assert [each.text for each in found if isinstance(each, Passage)] == [text(7).strip(), text(2).strip()]
    retracted = {each.artifact_id for each in found if isinstance(each, Retraction)}
    assert artifact_id("message", chat(1).uid, 0) in retracted
    assert {artifact_id("passage", artifact_id("message", message().uid, 0), 1)} <= retracted
    rows = [decode_quarantine_record(entry.value) for entry in ReplayLog(settings).read(QUARANTINE_TOPIC)]
    assert [(row.event_id, type(row)) for row in rows] == [("e2", Quarantined), ("e1", Quarantined), ("e2", Released)]


@pytest.mark.broker
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("eager")
def test_a_conversation_that_ended_gives_its_place_back(settings):
    now = utc_now()
    old = now - RETENTION - timedelta(days=1)
    work(settings, 0, *(chat(n, ingested_at=old, event_time=old, conversation_id="old") for n in range(3)))
    work(settings, 0, chat(8, ingested_at=now, event_time=now, conversation_id="new"))
    work(settings, 0, chat(9, ingested_at=now, event_time=now, conversation_id="new"))

    assert {key.split(b"|")[0] for key in values(settings)} == {b"default//new"}


@pytest.mark.broker
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("eager")
def test_a_conversation_that_begins_again_stays_known_while_its_old_part_is_swept(settings):
    now = utc_now()
    old = now - RETENTION - timedelta(days=1)
    work(settings, 0, *(chat(n, ingested_at=old, event_time=old) for n in range(3)))
    work(settings, 0, message(7, ingested_at=now, event_time=now))
    work(settings, 0, change("edit", "e7", 7, text=text(7), ingested_at=now, event_time=now))
    texts = {each.provenance.event_ids[0]: each.text for each in artifacts(settings) if isinstance(each, Message)}
    assert texts["chat-7"] == text(7)
