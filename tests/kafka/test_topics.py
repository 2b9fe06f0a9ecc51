from __future__ import annotations

import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.kafka.connection import admin_client
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import deriver_group, ensure_topics, required_topics, topic_name
from mmplatform.settings import load
from tests.servers.broker import any_broker
from tests.servers.process import free_ports

ALL = {
    "interactions.chat",
    "interactions.call",
    "interactions.screenshot",
    "artifacts",
    "quarantine",
    "dead-letters",
    "progress",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


@pytest.fixture
def settings(address):
    return load(kafka_bootstrap_servers=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", topic_partitions=3)


def topic_config(settings, topic):
    client, resource = admin_client(settings), ConfigResource(ResourceType.TOPIC, topic)
    return {name: entry.value for name, entry in client.describe_configs([resource])[resource].result().items()}


def test_topics_and_groups_have_the_prefix():
    settings = load(kafka_bootstrap_servers="x", topic_prefix="eu.")
    assert topic_name(settings, "artifacts") == "eu.artifacts"
    assert deriver_group(settings, "call") == "eu.derive-call"
    assert {spec.name for spec in required_topics(settings)} == {f"eu.{name}" for name in ALL}


@pytest.mark.broker
def test_every_topic_is_created_with_explicit_retention(settings):
    report = ensure_topics(settings)
    assert set(report.created) == {topic_name(settings, name) for name in ALL}
    assert (report.existing, report.mismatches) == ((), ())
    metadata = admin_client(settings).list_topics(timeout=10).topics
    for spec in required_topics(settings):
        config = topic_config(settings, spec.name)
        assert (config["retention.ms"], config["cleanup.policy"]) == (str(spec.retention_ms), "delete")
        assert config["max.message.bytes"] == "1048588"
        assert config["message.timestamp.type"] == "LogAppendTime"
        assert int(config["segment.ms"]) <= max(spec.retention_ms, 0) or spec.segment_ms is None
        assert len(metadata[spec.name].partitions) == spec.topic_partitions
    assert len(metadata[topic_name(settings, "interactions.chat")].partitions) == 3


@pytest.mark.broker
def test_a_second_run_changes_nothing(settings):
    ensure_topics(settings)
    report = ensure_topics(settings)
    assert (report.created, report.altered) == ((), ())
    assert set(report.existing) == {topic_name(settings, name) for name in ALL}
    assert report.mismatches == ()


@pytest.mark.broker
def test_several_processes_may_create_them_at_once(settings):
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: ensure_topics(settings), range(4)))
    created = [name for report in reports for name in report.created]
    assert sorted(created) == sorted(topic_name(settings, name) for name in ALL)


@pytest.mark.broker
def test_a_mismatch_is_reported_and_left_unchanged(settings):
    chat = topic_name(settings, "interactions.chat")
    other = NewTopic(
        chat, num_partitions=1, replication_factor=1, config={"retention.ms": "60000", "max.message.bytes": "5000"}
    )
    compacted = NewTopic(
        topic_name(settings, "artifacts"),
        num_partitions=8,
        replication_factor=1,
        config={"retention.ms": "-1", "cleanup.policy": "compact"},
    )
    client = admin_client(settings)  # futures fail when their client is collected
    for future in client.create_topics([other, compacted]).values():
        future.result()
    report = ensure_topics(settings)
    assert chat in report.existing
    mismatches = "\n".join(report.mismatches)
    assert f"{chat} has 1 topic partitions instead of 3" in mismatches
    assert f"{chat} has retention.ms=60000 instead of -1" in mismatches
    assert "cleanup.policy=compact" in mismatches
    assert f"{chat} has max.message.bytes=5000 instead of 1048588" in mismatches
    assert len(report.mismatches) == 4
    assert topic_config(settings, chat)["retention.ms"] == "60000"


def create_as_an_earlier_version(settings, *names):
    """Topics without a timestamp type: they have the broker's default, CreateTime."""
    client = admin_client(settings)  # futures fail when their client is collected
    config = {"retention.ms": "-1", "retention.bytes": "-1", "segment.bytes": "123456"}
    new = [NewTopic(name, num_partitions=3, replication_factor=1, config=config) for name in names]
    for future in client.create_topics(new).values():
        future.result()


@pytest.mark.broker
def test_a_topic_of_an_earlier_version_gets_append_time_for_later_records_only(settings):
    chat = topic_name(settings, "interactions.chat")
    create_as_an_earlier_version(settings, chat)
    hour_ago, hour_ahead = utc_now() - timedelta(hours=1), utc_now() + timedelta(hours=1)
    with closing(LogProducer(settings)) as producer:
        producer.send(chat, "k", b"earlier", timestamp=hour_ago).result(10)
        report = ensure_topics(settings)
        assert (report.altered, report.mismatches) == ((chat,), ())
        assert topic_config(settings, chat)["segment.bytes"] == "123456", "nothing else is altered"
        sent_at = utc_now()
        for timestamp in (hour_ahead, hour_ago):
            producer.send(chat, "k", b"later", timestamp=timestamp).result(10)
    log = ReplayLog(settings)
    earlier, *later = [entry.timestamp for entry in log.read(chat)]
    assert abs(earlier - hour_ago) < timedelta(milliseconds=2)
    assert later == sorted(later)
    assert all(abs(at - sent_at) < timedelta(minutes=1) for at in later)
    assert [entry.value for entry in log.read(chat, later[0])] == [b"later"] * 2
    assert log.newest_record_at(chat) == later[1]
    assert log.oldest_pending_at("nobody", chat) == earlier
    assert ensure_topics(settings).altered == ()


class RefusingAdmin:
    """An admin client that may not alter a topic."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def incremental_alter_configs(self, resources, **_):
        refused = Future()
        refused.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
        return dict.fromkeys(resources, refused)


@pytest.mark.broker
def test_a_topic_that_may_not_be_altered_is_reported_with_the_cure(settings):
    chat = topic_name(settings, "interactions.chat")
    create_as_an_earlier_version(settings, chat)
    report = ensure_topics(settings, RefusingAdmin(admin_client(settings)))
    assert report.altered == ()
    (mismatch,) = report.mismatches
    assert f"{chat} has message.timestamp.type=CreateTime instead of LogAppendTime" in mismatch
    assert f"kafka-configs --alter --entity-type topics --entity-name {chat} --add-config" in mismatch


@pytest.mark.broker
def test_the_topic_of_lineage_events_may_belong_to_others_and_is_only_reported(settings):
    settings = settings.model_copy(update={"openlineage_url": "kafka:lineage"})
    create_as_an_earlier_version(settings, topic_name(settings, "lineage"))
    report = ensure_topics(settings)
    assert report.altered == ()
    retention, timestamps = report.mismatches
    assert "lineage has retention.ms=-1" in retention
    assert "lineage has message.timestamp.type=CreateTime" in timestamps


@pytest.mark.broker
def test_finite_retention_applies_to_the_replay_log_only(settings):
    finite = settings.model_copy(update={"log_retention_ms": 86_400_000})
    assert ensure_topics(finite).mismatches == ()
    assert topic_config(finite, topic_name(finite, "interactions.call"))["retention.ms"] == "86400000"
    assert topic_config(finite, topic_name(finite, "dead-letters"))["retention.ms"] == "-1"
    assert len([m for m in ensure_topics(settings).mismatches if "retention.ms=86400000" in m]) == 4


@pytest.mark.broker
@pytest.mark.parametrize("actual", ["-1", "2592000000"])
def test_a_retention_that_is_longer_than_required_is_reported_with_its_cure(settings, actual):
    """The operator lowered the setting and believes the old records deleted."""
    chat = topic_name(settings, "interactions.chat")
    existing = NewTopic(chat, num_partitions=3, replication_factor=1, config={"retention.ms": actual})
    client = admin_client(settings)
    for future in client.create_topics([existing]).values():
        future.result()
    week = settings.model_copy(update={"log_retention_ms": 604_800_000})
    [mismatch] = ensure_topics(week).mismatches
    assert mismatch.startswith(f"{chat} has retention.ms={actual} instead of 604800000: older records, personal data")
    assert mismatch.endswith("alter the topic's retention.ms to 604800000")
    assert topic_config(settings, chat)["retention.ms"] == actual
    entry = ConfigEntry("retention.ms", "604800000", incremental_operation=AlterConfigOpType.SET)
    cure = ConfigResource(ResourceType.TOPIC, chat, incremental_configs=[entry])
    client.incremental_alter_configs([cure])[cure].result()
    assert ensure_topics(week).mismatches == ()


def test_a_missing_broker_is_unavailable():
    with pytest.raises(Unavailable, match="MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS"):
        ensure_topics(load(kafka_bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}"), timeout_s=0.5)
