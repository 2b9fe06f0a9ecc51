"""More topic partitions for a modality, on a real broker."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from mmplatform.errors import Misconfigured, Permanent, Rejected, Unavailable
from mmplatform.events import utc_now
from mmplatform.kafka import partitions
from mmplatform.kafka.connection import admin_client, client_config
from mmplatform.kafka.partitions import increase_partitions, parse_partition_count, topic_states
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import deriver_group, ensure_topics, topic_name
from mmplatform.modalities import MODALITIES
from mmplatform.settings import load
from tests.servers.broker import any_broker

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


@pytest.fixture
def settings(address):
    settings = load(kafka_bootstrap_servers=address, topic_prefix=f"p{uuid.uuid4().hex[:6]}.")
    ensure_topics(settings)
    return settings


@pytest.fixture
def wait(monkeypatch):
    """Lets time pass: the broker's times of the records are as old as that then."""

    def pass_by(seconds):
        monkeypatch.setattr(partitions, "utc_now", lambda: utc_now() + timedelta(seconds=seconds))

    return pass_by


def write(settings, modality, count=1):
    topic = topic_name(settings, MODALITIES[modality].topic)
    producer = LogProducer(settings)
    producer.send_all(LogRecord(topic, f"k{number}", b"v") for number in range(count))
    producer.close()


def commit_all(settings, modality):
    topic, group = topic_name(settings, MODALITIES[modality].topic), deriver_group(settings, modality)
    marks = ReplayLog(settings).watermarks([topic])[topic]
    consumer = Consumer(client_config(settings) | {"group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, n, m.high) for n, m in marks.items()], asynchronous=False)
    consumer.close()


def counts(settings):
    return {stand.modality: stand.topic_partitions for stand in topic_states(settings, ReplayLog(settings))}


def increase(settings, modality, wanted):
    return increase_partitions(settings, modality, wanted, ReplayLog(settings), admin_client(settings))


def test_a_modality_gets_more_topic_partitions_and_the_others_keep_theirs(settings):
    assert increase(settings, "chat", 6) == 4
    assert counts(settings) == {"chat": 6, "call": 4, "screenshot": 4}
    assert increase(settings, "chat", 6) == 6
    assert ensure_topics(settings).mismatches == (), "more than wished is no harm"


def test_the_count_is_never_lowered(settings):
    with pytest.raises(Rejected, match="never lowered"):
        increase(settings, "chat", 3)
    assert counts(settings)["chat"] == 4


def test_with_lag_the_count_is_not_increased(settings):
    write(settings, "chat", 2)
    with pytest.raises(Unavailable, match=r"2 events of .* are not derived yet"):
        increase(settings, "chat", 8)
    assert counts(settings)["chat"] == 4
    commit_all(settings, "chat")
    assert increase(settings, "chat", 8) == 4


@pytest.mark.parametrize("longer_s", [-4.0, 110.0], ids=["within the silence", "within the longest piece"])
def test_while_a_call_may_be_open_the_count_is_not_increased(settings, wait, longer_s):
    write(settings, "call", 2)
    wait(settings.call_idle_timeout_s + longer_s)
    commit_all(settings, "call")
    with pytest.raises(Unavailable, match="a call may be open"):
        increase(settings, "call", 8)
    quiet = settings.model_copy(update={"call_idle_timeout_s": 0.0})
    write(settings, "screenshot")
    commit_all(settings, "screenshot")
    assert increase(settings, "screenshot", 8) == 4, "a screenshot has no state"
    assert counts(quiet)["call"] == 4


def test_events_between_the_check_and_the_increase_are_reported(settings):
    class Late(ReplayLog):
        """A log to which a source writes right after the check."""

        def lag(self, group, topics):
            found = super().lag(group, topics)
            if topics == [topic_name(settings, "interactions.chat")]:
                write(settings, "chat")
            return found

    with pytest.raises(Permanent, match="has 8 topic partitions now, but 1 events arrived"):
        increase_partitions(settings, "chat", 8, Late(settings), admin_client(settings))
    assert counts(settings)["chat"] == 8


def test_a_wrong_clock_of_a_source_neither_hides_an_open_call_nor_forges_one(settings, wait):
    topic = topic_name(settings, MODALITIES["call"].topic)
    producer = LogProducer(settings)
    jumps = [timedelta(hours=hours) for hours in (-5, 5)]
    producer.send_all(LogRecord(topic, "k", b"v", utc_now() + jump) for jump in jumps)
    producer.close()
    commit_all(settings, "call")
    with pytest.raises(Unavailable, match="a call may be open"):
        increase(settings, "call", 8)
    wait(3600.0)
    assert increase(settings, "call", 8) == 4


def test_the_changelog_of_call_state_grows_with_the_topic(settings, wait):
    topic, group = topic_name(settings, "interactions.call"), deriver_group(settings, "call")
    changelog, other = f"changelog__{group}--{topic}--default", f"changelog__{group}--{topic}"
    client = admin_client(settings)
    for future in client.create_topics([NewTopic(changelog, 4, 1), NewTopic(other, 4, 1)]).values():
        future.result()
    write(settings, "call")
    wait(3600.0)
    commit_all(settings, "call")
    assert increase(settings, "call", 7) == 4
    topics = client.list_topics(timeout=10).topics
    assert {name: len(topics[name].partitions) for name in (topic, changelog, other)} == {
        topic: 7,
        changelog: 7,
        other: 4,
    }


@pytest.mark.parametrize("text", ["chat", "chat=", "chat=0", "chat=1001", "fax=4", "chat=four", "=4", "chat=-1"])
def test_text_that_is_not_a_modality_with_a_number_is_refused(text):
    with pytest.raises(Misconfigured, match="--partitions"):
        parse_partition_count(text)


def test_a_modality_with_a_number_is_parsed():
    assert parse_partition_count("call=12") == ("call", 12)
