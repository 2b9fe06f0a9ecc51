"""A lakehouse that was lost, from the log: real broker, real tables."""

from __future__ import annotations

import uuid

import pytest

from mmplatform.consumers import rebuild_lakehouse
from mmplatform.events import Position
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC, CHAT
from mmplatform.settings import load
from tests.consumers.lost_store import World, completed_by
from tests.land.records import chat, message, passage, retraction
from tests.servers.broker import any_broker

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


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
    done = world.rebuild()
    assert (done.read, done.rows, done.expired) == (2, 2, 0)
    assert set(world.rows("raw_chats")) == {"event-1", "event-2"}
    assert world.rebuild().rows == 0
    assert set(world.rows("raw_chats")) == {"event-1", "event-2"}


def test_a_retraction_and_a_later_word_hold_as_they_held_the_first_time(world):
    first, retracted, latest = message(1), message(2), completed_by(message(1, text="the later word"), 7)
    positions = world.write(
        ARTIFACTS_TOPIC, first, retracted, passage(2), retraction(retracted), retraction(passage(2)), latest, passage(3)
    )
    world.archived(positions[-1])
    world.rebuild()
    assert world.rows("messages") == {first.artifact_id: "the later word"}
    assert set(world.rows("passages")) == {passage(3).artifact_id}


def test_what_is_there_of_a_later_event_or_of_a_reprocessing_run_is_left_alone(world):
    old, again = message(1), message(2)
    positions = world.write(ARTIFACTS_TOPIC, old, again, retraction(again))
    world.archived(positions[-1])
    later = Position(topic=ARTIFACTS_TOPIC, topic_partition=0, offset=positions[-1].offset + 5)
    newer = completed_by(message(1, text="newer"), 7)
    anew = completed_by(message(2, text="made anew"), 2, derivation=1)
    rows = [
        (later, record_to_row(newer, later)[1]),
        (later, record_to_row(anew, later)[1] | {"topic": None, "log_offset": -1}),
    ]
    world.lakehouse.append("messages", rows, offsets={}, source=ARCHIVE_GROUP)
    world.rebuild()
    assert world.rows("messages") == {old.artifact_id: "newer", again.artifact_id: "made anew"}


def test_what_the_archiver_took_out_before_it_was_there_is_not_left_behind(world):
    (event,) = world.write(CHAT.topic, chat(1))
    positions = world.write(ARTIFACTS_TOPIC, message(1), message(2))
    world.archived(event, positions[-1])
    archiver = Lakehouse.open(world.settings)

    def archiver_retracts():
        taken_back = retraction(message(1))
        (position,) = world.write(ARTIFACTS_TOPIC, taken_back)
        archiver.delete_through("messages", {taken_back.artifact_id: taken_back.version.sortable})
        rows = [(position, record_to_row(taken_back, position)[1])]
        archiver.append("retractions", rows, offsets={}, source=ARCHIVE_GROUP)

    world.rebuild(archiver_retracts)
    assert set(world.rows("messages")) == {message(2).artifact_id}


def test_what_the_archiver_lands_meanwhile_is_not_replaced_by_what_was_before(world):
    (event,) = world.write(CHAT.topic, chat(1))
    (position,) = world.write(ARTIFACTS_TOPIC, message(1, text="older"))
    world.archived(event, position)
    archiver = Lakehouse.open(world.settings)

    def archiver_lands():
        newer = completed_by(message(1, text="newer"), 7)
        (later,) = world.write(ARTIFACTS_TOPIC, newer)
        archiver.append("messages", [(later, record_to_row(newer, later)[1])], offsets={}, source=ARCHIVE_GROUP)

    world.rebuild(archiver_lands)
    assert world.rows("messages") == {message(1).artifact_id: "newer"}


def test_what_is_retracted_many_records_on_is_not_left_behind(world, monkeypatch):
    monkeypatch.setattr(rebuild_lakehouse, "_BATCH_SIZE", 1)
    positions = world.write(ARTIFACTS_TOPIC, message(1), message(2), retraction(message(1)))
    world.archived(positions[-1])
    assert world.rebuild().rows == 3, "the first message until its retraction came, and the retraction itself"
    assert set(world.rows("messages")) == {message(2).artifact_id}
    before = world.lakehouse.table("messages").current_snapshot().snapshot_id
    assert world.rebuild().rows == 0
    assert world.lakehouse.table("messages").current_snapshot().snapshot_id == before


def test_what_a_run_that_ended_half_way_has_left_is_taken_out(world):
    positions = world.write(ARTIFACTS_TOPIC, message(1), retraction(message(1)))
    world.lakehouse.restore("messages", [(positions[0], record_to_row(message(1), positions[0])[1])])
    world.archived(positions[-1])
    world.rebuild()
    assert world.rows("messages") == {}
