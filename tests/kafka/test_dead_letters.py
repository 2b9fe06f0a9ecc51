"""Dead letters on a real log: listed by position, redriven once, and only the very record that the letter names."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime

import pytest

from mmplatform.artifacts import ArtifactBase, Retraction, decode_artifact
from mmplatform.cli.dead_letters import _exclusive, _select
from mmplatform.errors import Unavailable
from mmplatform.events import Position, encode, utc_now
from mmplatform.kafka.dead_letters import REDRIVEN_FROM_HEADER, DeadLetters, format_position
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics, topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, CHAT, DEAD_LETTERS_TOPIC
from mmplatform.refusals import DeadLetter
from mmplatform.settings import load
from tests.builders import chat, message, position
from tests.servers.broker import any_broker

CHANGELOG = "changelog__derive-call--interactions.call--default"

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
    world = World(load(kafka_bootstrap_servers=address, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", topic_partitions=2))
    yield world
    world.producer.close()


def test_each_letter_is_listed_once_and_invalid_records_are_left_out(world):
    letter = world.named(world.send(CHAT.topic, b"x", "key"), b"x")
    world.send(DEAD_LETTERS_TOPIC, encode(letter))
    world.send(DEAD_LETTERS_TOPIC, b"no letter")
    assert world.letters.read_all() == [letter]
    assert world.letters.statuses([letter]) == {format_position(letter.position): "no"}


def test_a_record_is_redriven_under_its_key_and_only_once(world):
    letter = world.named(world.send(CHAT.topic, b"x", "key"), b"x")
    (done,) = world.letters.redrive([letter], world.producer)
    assert done.skip_reason == ""
    assert done.redriven_to.topic == CHAT.topic
    assert world.letters.statuses([letter]) == {format_position(letter.position): "yes"}
    (again,) = world.letters.redrive([letter], world.producer)
    assert again.redriven_to is None
    assert "before" in again.skip_reason
    first, second = world.on_log(CHAT.topic)
    assert (second.key, second.value) == (first.key, first.value) == ("key", b"x")
    assert second.headers[REDRIVEN_FROM_HEADER].decode() == format_position(letter.position)


def test_a_missing_record_is_not_redriven_and_neither_is_another_one_at_its_position(world):
    place = world.send(CHAT.topic, b"x", "key")
    other = world.named(place, b"y")
    gone = world.named(place.model_copy(update={"offset": place.offset + 10}), b"x")
    reasons = [each.skip_reason for each in world.letters.redrive([other, gone], world.producer)]
    assert "another record" in reasons[0]
    assert "gone" in reasons[1]
    assert len(world.on_log(CHAT.topic)) == 1


def test_named_twice_a_record_is_redriven_once(world):
    letter = world.named(world.send(CHAT.topic, b"x", "key"), b"x")
    place = format_position(letter.position)
    assert [each.position for each in world.letters.redrive([letter, letter], world.producer)] == [place]
    assert len(world.on_log(CHAT.topic)) == 2
    assert _select({place: letter}, [place, place], everything=False) == [letter]


def test_letters_about_foreign_topics_do_not_affect_the_others(world):
    """Any client may write a letter; the platform's own are also about changelogs, which a redrive must not touch."""
    good = world.named(world.send(CHAT.topic, b"x", "key"), b"x")
    nowhere = Position(topic="nowhere", topic_partition=0, offset=0)
    others = [world.named(nowhere.model_copy(update={"topic": topic}), b"x") for topic in (CHANGELOG, "nowhere")]
    others.append(world.named(world.send(DEAD_LETTERS_TOPIC, b"x", "key"), b"x"))
    assert list(world.letters.statuses([good, *others]).values()) == ["no", "cannot be", "cannot be", "cannot be"]
    done = world.letters.redrive([*others, good], world.producer)
    never = "only events, artifacts and quarantined rows are redriven"
    assert [each.skip_reason for each in done] == [never, never, never, ""]


@pytest.mark.parametrize("year", [1, 1970, 9999])
def test_a_letter_with_any_time_is_redriven_once(world, year):
    letter = world.named(world.send(CHAT.topic, b"x", "key"), b"x")
    letter = letter.model_copy(update={"dead_at": datetime(year, 1, 1, tzinfo=UTC)})
    for _ in range(2):
        world.letters.redrive([letter], world.producer)
    assert len(world.on_log(CHAT.topic)) == 2


def test_an_unreadable_topic_does_not_affect_the_others(world):
    class Torn(ReplayLog):
        def read(self, topic, *bounds):
            if topic.endswith(ARTIFACTS_TOPIC):
                raise Unavailable("it does not answer")
            return super().read(topic, *bounds)

    good = world.named(world.send(CHAT.topic, b"x", "key"), b"x")
    other = world.named(world.send(ARTIFACTS_TOPIC, b"x", "key"), b"x")
    letters = DeadLetters(world.settings, Torn(world.settings))
    assert list(letters.statuses([other, good]).values()) == ["?", "no"]
    unread, done = letters.redrive([other, good], world.producer)
    assert "cannot be excluded" in unread.skip_reason
    assert done.skip_reason == ""


def test_a_binary_key_is_unchanged(world):
    letter = world.named(world.send(CHAT.topic, b"x", b"\xff\x00"), b"x")
    world.letters.redrive([letter], world.producer)
    assert [entry.raw_key for entry in world.on_log(CHAT.topic)] == [b"\xff\x00"] * 2


def test_an_artifact_is_redriven_only_without_a_newer_record_on_the_log(world):
    def named(value):
        return world.named(world.send(ARTIFACTS_TOPIC, value, "key"), value)

    taken_back, replaced, alone = (encode(message(chat(n), position(n))) for n in range(3))
    first, second, third = named(taken_back), named(replaced), named(alone)
    unread = named(b"x")
    gone = decode_artifact(taken_back).model_dump(include=set(ArtifactBase.model_fields) - {"kind"})
    world.send(ARTIFACTS_TOPIC, encode(Retraction(**gone, reason="derived again")), "key")
    world.send(ARTIFACTS_TOPIC, replaced, "key")
    reasons = [each.skip_reason for each in world.letters.redrive([first, second, third, unread], world.producer)]
    later = "a later record of the same artifact is on the log"
    assert reasons == [later, later, "", "it still cannot be read"]
    assert len(world.on_log(ARTIFACTS_TOPIC)) == 7


def test_two_programs_do_not_redrive_at_once(tmp_path):
    settings = load(data_dir=tmp_path)
    with _exclusive(settings), pytest.raises(Unavailable, match="another redrive is under way"), _exclusive(settings):
        pass
    with _exclusive(settings):
        pass
