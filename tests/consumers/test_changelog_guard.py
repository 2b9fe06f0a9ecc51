"""The changelog of the calls' state, onto which anybody who may write to the broker may write, restored for real."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st
from quixstreams.state.metadata import (
    CHANGELOG_CF_MESSAGE_HEADER,
    CHANGELOG_PROCESSED_OFFSETS_MESSAGE_HEADER,
    CHANGELOG_TTL_STAMPED_HEADER,
)

from mmplatform.consumers.changelog_guard import foreign_reason
from mmplatform.consumers.deriver import call_app
from mmplatform.consumers.progress_reporter import ProgressReporter
from mmplatform.derive.call.state import CallState
from mmplatform.derive.passages import DerivedBatch
from mmplatform.errors import Unavailable
from mmplatform.events import encode
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import ensure_topics
from mmplatform.modalities import CALL, DEAD_LETTERS_TOPIC
from mmplatform.settings import load
from mmplatform.telemetry.status_server import WorkerStatus
from tests.builders import chunk
from tests.servers.broker import embedded_broker

CHANGELOG = "changelog__derive-call--interactions.call--default"
QUIX_HEADERS = {CHANGELOG_CF_MESSAGE_HEADER: b"default"}
OFFSETS = CHANGELOG_PROCESSED_OFFSETS_MESSAGE_HEADER
SECRET = b"5500 0000 0000 0004"
FOREIGN = {
    "no headers": (SECRET, {}),
    "a family of no store": (b"{}", {CHANGELOG_CF_MESSAGE_HEADER: b"nosuch"}),
    "a family that is no text": (b"{}", {CHANGELOG_CF_MESSAGE_HEADER: b"\xff"}),
    "an expiry": (b"12345678{}", QUIX_HEADERS | {CHANGELOG_TTL_STAMPED_HEADER: b"1"}),
    "a value that is not JSON": (SECRET, QUIX_HEADERS),
    "offsets that are not JSON": (b"{}", QUIX_HEADERS | {OFFSETS: b"{"}),
    "offsets that are no numbers": (b"{}", QUIX_HEADERS | {OFFSETS: b'{"interactions.call": "1"}'}),
    "offsets of another topic": (b"{}", QUIX_HEADERS | {OFFSETS: b'{"elsewhere": 1}'}),
}


class Counts:
    """A deriver that notes what it knew of the call."""

    def __init__(self):
        self.states = []

    def advance(self, state, arrival):
        self.states.append(state)
        return CallState(next_index=arrival.event.chunk_index + 1), DerivedBatch()


class Away(LogProducer):
    """The broker is away whenever something is to be written, and back a moment later."""

    away = False

    def send_all(self, records):
        self.away = not self.away
        if self.away:
            raise Unavailable("the broker is away")
        return super().send_all(records)


def heard(settings, index, instance):
    """What a worker with a disk of its own knew of the call when it took the next chunk in."""
    own = settings.model_copy(update={"worker_instance_id": instance})
    deriver, producer = Counts(), Away(own)
    producer.send(CALL.topic, None, encode(chunk(index))).result(10)
    producer.send(CALL.topic, chunk(index).conversation_key, encode(chunk(index))).result(10)
    reporter = ProgressReporter(own, CALL, producer)
    call_app(own, deriver, producer, WorkerStatus("derive-call"), reporter).run(timeout=3)
    producer.close()
    return deriver.states


@pytest.mark.broker
def test_what_a_foreign_client_wrote_onto_the_changelog_is_named_and_the_state_is_restored(tmp_path):
    with embedded_broker(tmp_path / "broker") as address:
        settings = load(kafka_bootstrap_servers=address, data_dir=tmp_path / "data", topic_partitions=1)
        ensure_topics(settings)
        assert heard(settings, 0, 0) == [None]
        foreign = Producer(client_config(settings))
        for value, headers in FOREIGN.values():
            foreign.produce(CHANGELOG, key=b"default//call-1|call", value=value, headers=headers, partition=0)
        assert foreign.flush(10) == 0
        [state] = heard(settings, 1, 1)
        assert state is not None
        assert state.next_index == 1
        letters = [json.loads(entry.value) for entry in ReplayLog(settings).read(DEAD_LETTERS_TOPIC)]
    reasons = [letter["reason"] for letter in letters if letter["position"]["topic"] == CHANGELOG]
    assert len(reasons) == len(FOREIGN)
    assert all("changelog record" in reason for reason in reasons)
    keyless = [letter["reason"] for letter in letters if letter["position"]["topic"] == CALL.topic]
    assert len(keyless) == 2, "named though the broker was away for a moment"
    assert all("key is not that of its conversation" in reason for reason in keyless)
    assert SECRET.decode() not in str(letters)


@given(
    value=st.none() | st.binary(max_size=40),
    headers=st.dictionaries(st.sampled_from([*QUIX_HEADERS, OFFSETS]), st.binary(max_size=40)),
)
def test_whatever_the_record_is_it_is_ours_or_named(value, headers):
    """Nothing raises, and what is taken for ours is what a store of Quix can read."""
    if not foreign_reason(record(value, headers), {"interactions.call": 5}):
        assert value is None or json.loads(value) is not None


def record(value=b"{}", headers=None, key=b"default//call-1|call"):
    all_headers = QUIX_HEADERS | {OFFSETS: b'{"interactions.call": 4}'} | (headers or {})
    return SimpleNamespace(key=lambda: key, value=lambda: value, headers=lambda: list(all_headers.items()))


def test_what_quix_writes_is_its_own():
    committed = {"interactions.call": 5}
    assert foreign_reason(record(), committed) == ""
    assert foreign_reason(record(value=None), committed) == "", "a state that was deleted"
    assert foreign_reason(record(key=None), committed) != ""
