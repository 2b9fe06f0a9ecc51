"""Hours of a raw table landed again from the log: real broker, real tables."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from mmplatform.consumers import restore_hours as restore_module
from mmplatform.consumers.restore_hours import ExpiredRange, describe_expired, restore_hours
from mmplatform.events import utc_now
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.topics import topic_name
from mmplatform.land.lakehouse.restore import RepairResult
from mmplatform.modalities import CHAT
from mmplatform.settings import load
from tests.consumers.lost_store import World
from tests.land.records import NOON, chat
from tests.servers.broker import any_broker

pytestmark = pytest.mark.broker
LATER = NOON + timedelta(hours=1)


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


def restore(world, *hours, progress=lambda _done, _total: None):
    return restore_hours(world.settings, world.lakehouse, world.log, CHAT, list(hours), progress)


def archive(world, *events):
    """Events on the log and in the table."""
    world.archived(world.write(CHAT.topic, *events)[-1])
    world.rebuild()


def expire(world, offset):
    """Delete the records before an offset from the log."""
    topic = topic_name(world.settings, CHAT.topic)
    admin = AdminClient(client_config(world.settings))
    for future in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        future.result(30)


def test_missing_rows_come_back_and_another_hour_is_left_alone(world):
    archive(world, chat(1), chat(2), chat(3, at=LATER))
    world.lakehouse.table("raw_chats").delete("event_id is not null")
    seen = []
    result = restore(world, NOON, progress=lambda done, total: seen.append((done, total)))
    assert set(world.rows("raw_chats")) == {"event-1", "event-2"}
    assert result[NOON].rows == RepairResult(added=2)
    assert seen[-1] == (3, 3)
    assert restore(world, NOON, LATER) == {
        NOON: result[NOON].__class__(read=2, rows=RepairResult(unchanged=2)),
        LATER: result[NOON].__class__(read=1, rows=RepairResult(added=1)),
    }
    before = world.lakehouse.table("raw_chats").current_snapshot().snapshot_id
    restore(world, NOON, LATER)
    assert world.lakehouse.table("raw_chats").current_snapshot().snapshot_id == before


def test_a_damaged_row_is_replaced_by_that_of_the_log(world):
    archive(world, chat(1, text="as it came"), chat(2))
    [row] = [row for row in world.lakehouse.scan("raw_chats").to_pylist() if row["event_id"] == "event-1"]
    damaged = row | {"text": "something else", "record": json.dumps({"kind": "damaged"})}
    world.lakehouse.table("raw_chats").delete(f"raw_id = '{row['raw_id']}'")
    world.lakehouse.table("raw_chats").append(
        world.lakehouse.scan("raw_chats").from_pylist([damaged], world.lakehouse.scan("raw_chats").schema)
    )
    assert restore(world, NOON)[NOON].rows == RepairResult(replaced=1, unchanged=1)
    assert world.rows("raw_chats")["event-1"] == "as it came"
    [row] = [row for row in world.lakehouse.scan("raw_chats").to_pylist() if row["event_id"] == "event-1"]
    assert json.loads(row["record"])["text"] == "as it came"


def test_an_event_that_was_sent_again_is_one_row_and_no_damage(world, monkeypatch):
    monkeypatch.setattr(restore_module, "_BATCH_SIZE", 1)
    archive(world, chat(1), chat(2), chat(1))
    assert restore(world, NOON)[NOON].rows == RepairResult(unchanged=2)
    assert set(world.rows("raw_chats")) == {"event-1", "event-2"}


def test_what_the_archiver_has_not_committed_is_left_to_it(world):
    positions = world.write(CHAT.topic, chat(1), chat(2))
    world.archived(positions[0])
    assert restore(world, NOON)[NOON].read == 1
    assert set(world.rows("raw_chats")) == {"event-1"}


def test_offsets_that_are_on_no_log_and_in_no_row_are_named(world):
    now = utc_now().replace(minute=0, second=0, microsecond=0)
    archive(world, *(chat(number, at=now) for number in range(6)))
    lost = [f"event_id = 'event-{number}'" for number in (1, 2, 4, 5)]
    world.lakehouse.table("raw_chats").delete(" or ".join(lost))
    expire(world, 4)
    result = restore(world, now)[now]
    assert result.rows == RepairResult(added=2)
    assert result.expired == (ExpiredRange(0, 1, 2),)
    assert result.unverified == 2
    assert describe_expired(CHAT, result.expired) == "interactions.chat[0]: 1-2"
    assert set(world.rows("raw_chats")) == {"event-0", "event-3", "event-4", "event-5"}


def test_an_expired_hour_of_which_every_row_is_present_lacks_nothing(world):
    archive(world, chat(1), chat(2), chat(3))
    expire(world, 3)
    result = restore(world, NOON)[NOON]
    assert (result.expired, result.unverified, result.read) == ((), 3, 0)


def test_expired_offsets_long_after_an_hour_are_not_of_it(world):
    archive(world, chat(1), chat(2))
    world.lakehouse.table("raw_chats").delete("event_id = 'event-2'")
    expire(world, 2)
    assert restore(world, NOON - timedelta(days=300))[NOON - timedelta(days=300)].expired == ()
