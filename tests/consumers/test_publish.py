"""Outcomes onto a real log: whatever a record is, writing what became of it ends."""

from __future__ import annotations

import json
import uuid

import pytest
from confluent_kafka.admin import NewTopic

from mmplatform.derive.passages import quarantine
from mmplatform.errors import Misconfigured
from mmplatform.kafka.connection import admin_client
from mmplatform.kafka.headers import AWAITED_HEADER, Pseudonyms
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, CHAT
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import Outcome, parse
from mmplatform.pipeline.publish import outgoing_records, publish
from mmplatform.pipeline.record_size import MAX_RECORD_BYTES
from mmplatform.pipeline.reprocess.change_log import ReplayChangeLog
from mmplatform.refusals import DeadLetter
from mmplatform.settings import load
from tests.builders import NOW, arrival, chat, message, position
from tests.servers.broker import any_broker

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


@pytest.fixture
def settings(address):
    return load(kafka_bootstrap_servers=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.")


@pytest.fixture
def producer(settings):
    made = LogProducer(settings)
    yield made
    made.close()


def narrow(settings, topic, max_bytes):
    """A topic that somebody made before us, with a limit of their own."""
    config = {"max.message.bytes": str(max_bytes), "retention.ms": "-1"}
    name = topic_name(settings, topic)
    client = admin_client(settings)
    for future in client.create_topics([NewTopic(name, 1, 1, config=config)]).values():
        future.result()


def on_log(settings, topic):
    return [json.loads(entry.value) for entry in ReplayLog(settings).read(topic_name(settings, topic))]


def noise(size):
    """Text that lz4 makes no smaller: the broker's limit is on what arrives."""
    return "".join(uuid.uuid4().hex for _ in range(size // 32))


def test_what_a_narrow_broker_refuses_is_set_aside_and_its_neighbours_land(settings, producer):
    narrow(settings, "artifacts", 20_000)
    ensure_topics(settings)
    large = message(chat(0), position(), text=noise(60_000))
    small = message(chat(1), position(1))
    quarantined = quarantine(arrival(chat(2)), contract="raw_chats", reasons=("no",))
    letter = DeadLetter(position=position(9), reason="r", size=0, value_sha256="0" * 64, dead_at=NOW)
    publish(Outcome((large, small), (quarantined,), (letter,)), producer, settings)
    assert {row["artifact_id"] for row in on_log(settings, "artifacts")} == {small.artifact_id}
    rows = {row["event_id"]: row["reasons"] for row in on_log(settings, "quarantine")}
    assert set(rows) == {"chat-0", "chat-2"}
    assert "over what the broker takes (max.message.bytes" in rows["chat-0"][0]
    assert {row["position"]["offset"] for row in on_log(settings, "dead-letters")} == {9}


def test_a_quarantine_that_takes_nothing_is_the_operators_to_mend(settings, producer):
    narrow(settings, "quarantine", 200)
    ensure_topics(settings)
    quarantined = quarantine(arrival(chat(2)), contract="raw_chats", reasons=(noise(480),))
    with pytest.raises(Misconfigured, match=r"quarantine.*max\.message\.bytes"):
        publish(Outcome(quarantined=(quarantined,)), producer, settings)


def changed(number, text):
    """A message that was edited after it had come."""
    made = message(chat(number), position(number), text=text)
    origin = made.provenance.model_copy(update={"event_ids": (f"chat-{number}", "edit")})
    return made.model_copy(update={"provenance": origin})


@pytest.mark.parametrize("size", [60_000, MAX_RECORD_BYTES], ids=["for the broker", "for any log"])
def test_the_old_text_of_a_message_leaves_when_the_new_one_is_too_large(settings, producer, size):
    narrow(settings, "artifacts", 20_000)
    ensure_topics(settings)
    large = changed(0, noise(size))
    publish(Outcome(artifacts=(large, message(chat(1), position(1), text=noise(size)))), producer, settings)
    [withdrawn] = on_log(settings, "artifacts")
    assert (withdrawn["kind"], withdrawn["artifact_id"]) == ("retraction", large.artifact_id)
    assert withdrawn["provenance"]["position"]["offset"] == 0
    assert len(on_log(settings, "quarantine")) == 2


@pytest.mark.parametrize("letter", ["x", "ф", "🙂", '"'])
def test_the_largest_record_that_a_log_holds_becomes_a_dead_letter_that_it_holds_too(settings, producer, letter):
    ensure_topics(settings)
    name = json.dumps(letter * (1_000_000 // len(letter.encode())), ensure_ascii=False)
    values = [
        f'{{"kind":"chat_message",{name}:1}}'.encode(),
        f'{{"kind":{name}}}'.encode(),
        f'{{"kind":"chat_message","role":{name},"schema_version":{name},"event_id":{name}}}'.encode(),
        name.encode(),
        b"\xff" * 1_000_000,
        b"[" * 1_000_000,
        b'{"kind":"chat_message",' + b",".join(b'"f%d":1' % n for n in range(90_000)) + b"}",
    ]
    records = [ConsumedRecord(position(n), value, NOW) for n, value in enumerate(values)]
    _, dead = parse(records, CHAT)
    outcome = Outcome(dead_letters=tuple(dead))
    assert all(len(out.value) < 5_000 < MAX_RECORD_BYTES for out in outgoing_records(outcome, Pseudonyms(b"key")))
    publish(outcome, producer, settings)
    assert [letter["position"]["offset"] for letter in on_log(settings, "dead-letters")] == list(range(len(values)))


def test_the_changes_of_a_run_say_that_it_waits_and_those_of_the_stream_do_not(settings, producer):
    ensure_topics(settings)
    outcome = Outcome(artifacts=(message(chat(1), position(1)),))
    log = ReplayLog(settings)
    publish(outcome, producer, settings)
    ReplayChangeLog(settings, producer, log).publish(outcome)
    found = [entry.headers.get(AWAITED_HEADER) for entry in log.read(topic_name(settings, ARTIFACTS_TOPIC))]
    assert found == [None, b"1"]
