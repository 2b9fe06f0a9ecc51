"""More topic partitions for a modality, on a real broker."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from mmplatform.errors import Misconfigured, Permanent, Rejected, Unavailable
from mmplatform.events import utc_now
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
    made = load(kafka=address, topic_prefix=f"p{uuid.uuid4().hex[:6]}.")
    ensure_topics(made)
    return made


def write(settings, modality, *ages_s):
    topic = topic_name(settings, MODALITIES[modality].topic)
    producer = LogProducer(settings)
    records = [LogRecord(topic, f"k{n}", b"v", utc_now() - timedelta(seconds=age)) for n, age in enumerate(ages_s)]
    producer.send_all(records)
    producer.close()


def done(settings, modality):
    topic, group = topic_name(settings, MODALITIES[modality].topic), deriver_group(settings, modality)
    marks = ReplayLog(settings).watermarks([topic])[topic]
    consumer = Consumer(client_config(settings) | {"group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, n, m.high) for n, m in marks.items()], asynchronous=False)
    consumer.close()


def numbers(settings):
    return {stand.modality: stand.topic_partitions for stand in topic_states(settings, ReplayLog(settings))}


def lift(settings, modality, wanted):
    return increase_partitions(settings, modality, wanted, ReplayLog(settings), admin_client(settings))


def test_a_modality_gets_more_and_the_others_keep_theirs(settings):
    assert lift(settings, "chat", 6) == 4
    assert numbers(settings) == {"chat": 6, "call": 4, "screenshot": 4}
    assert lift(settings, "chat", 6) == 6
    assert ensure_topics(settings).mismatches == (), "more than wished is no harm"


def test_their_number_is_never_lowered(settings):
    with pytest.raises(Rejected, match="never lowered"):
        lift(settings, "chat", 3)
    assert numbers(settings)["chat"] == 4


def test_while_events_wait_nothing_is_raised(settings):
    write(settings, "chat", 100.0, 100.0)
    with pytest.raises(Unavailable, match=r"2 events of .* are not derived yet"):
        lift(settings, "chat", 8)
    assert numbers(settings)["chat"] == 4
    done(settings, "chat")
    assert lift(settings, "chat", 8) == 4


@pytest.mark.parametrize("longer_s", [-4.0, 110.0], ids=["within the silence", "within the longest piece"])
def test_while_a_call_may_be_open_nothing_is_raised(settings, longer_s):
    write(settings, "call", 3600.0, settings.call_idle_s + longer_s)
    done(settings, "call")
    with pytest.raises(Unavailable, match="a call may be open"):
        lift(settings, "call", 8)
    quiet = settings.model_copy(update={"call_idle_s": 0.0})
    write(settings, "screenshot", 0.0)
    done(settings, "screenshot")
    assert lift(settings, "screenshot", 8) == 4, "a screenshot has no state"
    assert numbers(quiet)["call"] == 4


def test_events_that_came_between_the_look_and_the_growth_are_told(settings):
    class Late(ReplayLog):
        """Looks, and a moment later a source goes on."""

        def lag(self, group, topics):
            found = super().lag(group, topics)
            if topics == [topic_name(settings, "interactions.chat")]:
                write(settings, "chat", 0.0)
            return found

    with pytest.raises(Permanent, match="has 8 topic partitions now, but 1 events arrived"):
        increase_partitions(settings, "chat", 8, Late(settings), admin_client(settings))
    assert numbers(settings)["chat"] == 8


def test_the_changelog_of_the_state_of_calls_grows_with_the_topic(settings):
    topic, group = topic_name(settings, "interactions.call"), deriver_group(settings, "call")
    changelog, other = f"changelog__{group}--{topic}--default", f"changelog__{group}--{topic}"
    client = admin_client(settings)
    for future in client.create_topics([NewTopic(changelog, 4, 1), NewTopic(other, 4, 1)]).values():
        future.result()
    write(settings, "call", 3600.0)
    done(settings, "call")
    assert lift(settings, "call", 7) == 4
    there = client.list_topics(timeout=10).topics
    assert {name: len(there[name].partitions) for name in (topic, changelog, other)} == {
        topic: 7,
        changelog: 7,
        other: 4,
    }


@pytest.mark.parametrize("text", ["chat", "chat=", "chat=0", "chat=1001", "fax=4", "chat=four", "=4", "chat=-1"])
def test_what_is_no_modality_with_a_number_is_refused(text):
    with pytest.raises(Misconfigured, match="--raise"):
        parse_partition_count(text)


def test_a_modality_with_a_number_is_read():
    assert parse_partition_count("call=12") == ("call", 12)
