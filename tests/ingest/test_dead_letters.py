"""Dead letters on a real log: listed by place, redriven once, and never another record than the one they are about."""

from __future__ import annotations

import hashlib
import uuid

import pytest

from mmplatform.artifacts import DeadLetter
from mmplatform.events import Position, encode, utc_now
from mmplatform.ingest.dead_letters import FROM, DeadLetters, place_of
from mmplatform.ingest.producer import LogProducer
from mmplatform.ingest.replay_log import ReplayLog
from mmplatform.ingest.topics import ensure_topics, topic_name
from mmplatform.modalities import CHAT, DEAD_LETTERS_TOPIC
from mmplatform.settings import load
from tests.ingest.broker import any_broker

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with any_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


class World:
    def __init__(self, settings):
        self.settings = settings
        ensure_topics(settings)
        self.producer = LogProducer(settings)
        self.log = ReplayLog(settings)
        self.letters = DeadLetters(settings, self.log)

    def send(self, topic, value, key=None) -> Position:
        place = self.producer.send(topic_name(self.settings, topic), key, value).result(30)
        return place.model_copy(update={"topic": topic})

    def named(self, place: Position, value: bytes) -> DeadLetter:
        letter = DeadLetter(
            position=place,
            reason="not an event",
            size=len(value),
            value_sha256=hashlib.sha256(value).hexdigest(),
            dead_at=utc_now(),
        )
        self.send(DEAD_LETTERS_TOPIC, encode(letter))
        return letter

    def on_log(self, topic):
        return list(self.log.read(topic_name(self.settings, topic)))


@pytest.fixture
def world(address):
    made = World(load(kafka=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", topic_partitions=2))
    yield made
    made.producer.close()


def test_each_letter_is_listed_once_and_what_is_none_is_left_out(world):
    letter = world.named(world.send(CHAT.topic, b"x", "key"), b"x")
    world.send(DEAD_LETTERS_TOPIC, encode(letter))
    world.send(DEAD_LETTERS_TOPIC, b"no letter")
    assert world.letters.all() == [letter]
    assert world.letters.redriven([letter]) == set()


def test_a_record_is_redriven_under_its_key_and_only_once(world):
    letter = world.named(world.send(CHAT.topic, b"x", "key"), b"x")
    (done,) = world.letters.redrive([letter], world.producer)
    assert done.why_not == ""
    assert done.to.topic == CHAT.topic
    assert world.letters.redriven([letter]) == {place_of(letter.position)}
    (again,) = world.letters.redrive([letter], world.producer)
    assert again.to is None
    assert "before" in again.why_not
    first, second = world.on_log(CHAT.topic)
    assert (second.key, second.value) == (first.key, first.value) == ("key", b"x")
    assert second.headers[FROM].decode() == place_of(letter.position)


def test_another_record_at_that_place_is_not_redriven_and_neither_is_one_that_is_gone(world):
    place = world.send(CHAT.topic, b"x", "key")
    other = world.named(place, b"y")
    gone = world.named(place.model_copy(update={"offset": place.offset + 10}), b"x")
    told = [each.why_not for each in world.letters.redrive([other, gone], world.producer)]
    assert "another record" in told[0]
    assert "gone" in told[1]
    assert len(world.on_log(CHAT.topic)) == 1
