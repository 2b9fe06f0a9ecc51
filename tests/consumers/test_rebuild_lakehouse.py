"""A lakehouse that was lost, from the log: real broker, real tables."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition

from mmplatform.consumers import rebuild_lakehouse
from mmplatform.consumers.rebuild_lakehouse import rebuild_from_log
from mmplatform.events import Position, encode
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC, CHAT
from mmplatform.settings import load
from tests.land.records import chat, message, passage, retraction
from tests.servers.broker import any_broker

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


class World:
    """A log that an archiver has committed as far as is told, and the tables."""

    def __init__(self, settings):
        self.settings = settings
        ensure_topics(settings)
        self.log = ReplayLog(settings)
        self.lakehouse = Lakehouse.open(settings)
        self.lakehouse.ensure_tables()

    def write(self, topic, *records) -> list[Position]:
        producer = LogProducer(self.settings)
        try:
            name = topic_name(self.settings, topic)
            return [producer.send(name, "one-key", encode(each)).result(30) for each in records]
        finally:
            producer.close()

    def archived(self, *places: Position) -> None:
        """The archiver has committed up to these, each the last of its topic partition."""
        group = f"{self.settings.topic_prefix}{ARCHIVE_GROUP}"
        consumer = Consumer(client_config(self.settings) | {"group.id": group, "enable.auto.commit": False})
        ends = [TopicPartition(place.topic, place.topic_partition, place.offset + 1) for place in places]
        consumer.commit(offsets=ends, asynchronous=False)
        consumer.close()

    def rows(self, table) -> dict[str, str]:
        """Raw: a row that is there twice fails."""
        found = self.lakehouse.table(table).scan().to_arrow().to_pylist()
        column = "event_id" if table.startswith("raw") else "artifact_id"
        assert len({row[column] for row in found}) == len(found)
        return {row[column]: row["text"] for row in found}

    def rebuild_from_log(self, meanwhile=lambda: None):
        """``meanwhile``: happens when the first chats have landed, and no artifact yet."""
        happened = []

        def told(topic, _done, _of):
            if topic == CHAT.topic and not happened:
                happened.append(meanwhile())

        return rebuild_from_log(self.settings, self.lakehouse, self.log, told)


@pytest.fixture
def world(address, tmp_path):
    return World(
        load(
            kafka_bootstrap_servers=address,
            topic_prefix=f"t{uuid.uuid4().hex[:8]}.",
            data_dir=tmp_path,
            topic_partitions=1,
        )
    )


def test_what_the_archiver_had_committed_lands_and_what_is_still_its_own_does_not(world):
    events = world.write(CHAT.topic, chat(1), chat(2), chat(3))
    world.archived(events[1])
    done = world.reland()
    assert (done.read, done.rows, done.expired) == (2, 2, 0)
    assert set(world.rows("raw_chats")) == {"event-1", "event-2"}
    assert world.reland().rows == 0
    assert set(world.rows("raw_chats")) == {"event-1", "event-2"}


def test_a_retraction_and_a_later_word_hold_as_they_held_the_first_time(world):
    first, gone, kept = message(1), message(2), message(1, text="the later word")
    places = world.write(
        ARTIFACTS_TOPIC, first, gone, passage(2), retraction(gone), retraction(passage(2)), kept, passage(3)
    )
    world.archived(places[-1])
    world.reland()
    assert world.rows("messages") == {first.artifact_id: "the later word"}
    assert set(world.rows("passages")) == {passage(3).artifact_id}


def test_what_is_there_of_a_later_place_or_of_a_reprocessing_run_is_left_alone(world):
    old, again = message(1), message(2)
    places = world.write(ARTIFACTS_TOPIC, old, again, retraction(again))
    world.archived(places[-1])
    later = Position(topic=ARTIFACTS_TOPIC, topic_partition=0, offset=places[-1].offset + 5)
    rows = [
        (later, record_to_row(message(1, text="newer"), later)[1]),
        (later, record_to_row(message(2, text="made anew"), later)[1] | {"topic": "", "log_offset": -1}),
    ]
    world.lakehouse.append("messages", rows, offsets={}, source=ARCHIVE_GROUP)
    world.reland()
    assert world.rows("messages") == {old.artifact_id: "newer", again.artifact_id: "made anew"}


def test_what_the_archiver_took_out_before_it_was_there_is_not_left_behind(world):
    (event,) = world.write(CHAT.topic, chat(1))
    places = world.write(ARTIFACTS_TOPIC, message(1), message(2))
    world.archived(event, places[-1])
    archiver = Lakehouse.open(world.settings)

    def taken_back():
        (place,) = world.write(ARTIFACTS_TOPIC, retraction(message(1)))
        archiver.delete_before("messages", {message(1).artifact_id: place.offset})

    world.reland(taken_back)
    assert set(world.rows("messages")) == {message(2).artifact_id}


def test_what_the_archiver_lands_meanwhile_is_not_replaced_by_what_was_before(world):
    (event,) = world.write(CHAT.topic, chat(1))
    (place,) = world.write(ARTIFACTS_TOPIC, message(1, text="older"))
    world.archived(event, place)
    archiver = Lakehouse.open(world.settings)

    def made_anew():
        (later,) = world.write(ARTIFACTS_TOPIC, message(1, text="newer"))
        archiver.append(
            "messages", [(later, record_to_row(message(1, text="newer"), later)[1])], offsets={}, source="archive"
        )

    world.reland(made_anew)
    assert world.rows("messages") == {message(1).artifact_id: "newer"}


def test_what_is_retracted_many_records_on_is_never_landed(world, monkeypatch):
    monkeypatch.setattr(rebuild_lakehouse, "_BATCH_SIZE", 1)
    places = world.write(ARTIFACTS_TOPIC, message(1), message(2), retraction(message(1)))
    world.archived(places[-1])
    assert world.reland().rows == 1
    before = world.lakehouse.table("messages").current_snapshot().snapshot_id
    assert world.reland().rows == 0
    assert world.lakehouse.table("messages").current_snapshot().snapshot_id == before


def test_what_a_run_that_ended_half_way_has_left_is_taken_out(world):
    places = world.write(ARTIFACTS_TOPIC, message(1), retraction(message(1)))
    world.lakehouse.restore("messages", [(places[0], record_to_row(message(1), places[0])[1])])
    world.archived(places[-1])
    world.reland()
    assert world.rows("messages") == {}
