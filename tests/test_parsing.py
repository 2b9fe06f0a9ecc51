"""Whatever bytes lie on the log: they are read or refused by name, nothing else, and no reason repeats them."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.damage import PLANTED, Damage
from benchmarks.fuzz.inputs import Input, Inputs
from mmplatform.artifacts import VECTOR_HEADER, Passage, decode_artifact
from mmplatform.derive.passages import DerivedBatch
from mmplatform.errors import Rejected
from mmplatform.events import decode_event, encode
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.modalities import CALL, CHAT, SCREENSHOT
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import process
from quality.contracts import ContractLimits
from tests.builders import NOW, call_end, chat, chunk, message, passage, position, screenshot

EVENTS = [json.loads(encode(each)) for each in (chat(), chunk(), call_end(), screenshot())]
MESSAGE = message(chat(), position())
ARTIFACTS = [json.loads(encode(each)) for each in (MESSAGE, passage(MESSAGE))]
HEADERS = {VECTOR_HEADER: passage(MESSAGE).vector_f32}
damage = st.randoms(use_true_random=False).map(Damage)


def read(decode, value):
    """The record, or None for one that was refused without a word of it."""
    try:
        return decode(value)
    except Rejected as error:
        message = str(error)
    assert not any(secret in message for secret in PLANTED)
    return None


@settings(max_examples=300)
@given(damage=damage, sound=st.sampled_from(EVENTS))
def test_a_damaged_event_is_read_or_refused_and_what_is_read_can_be_a_row(damage, sound):
    event = read(decode_event, damage.record(sound))
    if event is not None:
        # The bytes are compared: an unknown field may hold NaN, which is not equal to itself.
        assert encode(decode_event(encode(event))) == encode(event)
        record_to_row(event, position())


@settings(max_examples=300)
@given(damage=damage, sound=st.sampled_from(ARTIFACTS))
def test_a_damaged_artifact_is_read_or_refused_and_what_is_read_can_be_a_row(damage, sound):
    artifact = read(lambda value: decode_artifact(value, HEADERS), damage.record(sound))
    if artifact is not None:
        assert encode(decode_artifact(encode(artifact), HEADERS)) == encode(artifact)
        record_to_row(artifact, position())


@settings(max_examples=100)
@given(damage=damage)
def test_a_damaged_vector_is_read_or_refused(damage):
    value, vector = encode(passage(MESSAGE)), damage.file(HEADERS[VECTOR_HEADER])
    found = read(lambda value: decode_artifact(value, {VECTOR_HEADER: vector}), value)
    if found is not None:
        assert isinstance(found, Passage)
        assert found.vector.tobytes() == vector


@settings(max_examples=200)
@given(value=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_bytes_that_mean_nothing_are_refused(value):
    assert read(decode_event, value) is None
    assert read(decode_artifact, value) is None


class CountingDeriver:
    """A deriver that makes nothing and counts what it was given."""

    name, version = "takes", "1"

    def __init__(self):
        self.derived = 0

    def derive(self, arrivals):
        self.derived += len(arrivals)
        return DerivedBatch()


@settings(max_examples=60)
@given(damage=st.lists(damage, min_size=1, max_size=30), spec=st.sampled_from([CHAT, CALL, SCREENSHOT]), data=st.data())
def test_of_a_batch_of_anything_every_record_ends_in_one_place(damage, spec, data):
    values = [each.record(data.draw(st.sampled_from(EVENTS))) for each in damage]
    values += [None, encode(chat())]
    records = [ConsumedRecord(position(n, spec.topic), value, NOW) for n, value in enumerate(values)]
    deriver = CountingDeriver()
    outcome = process(records, deriver, spec, ContractLimits())
    places = Counter(each.position for each in (*outcome.quarantined, *outcome.dead_letters))
    assert set(places.values()) <= {1}
    assert deriver.derived + len(places) == len(records)
    assert not any(secret in str(outcome) for secret in PLANTED)


def drawn(seed: int, count: int = 400) -> list[Input]:
    return list(Inputs(seed, "model@1", 384).draw(count))


def test_a_seed_of_the_fuzzer_names_every_byte():
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


@pytest.mark.parametrize("kind", ["a request", "a record"])
def test_the_fuzzer_draws_sound_and_damaged_inputs_of_every_route(kind):
    of = [one for one in drawn(1, 2_000) if bool(one.topic) == (kind == "a record")]
    by_route = Counter(one.topic or one.route.rsplit("/", 1)[-1] for one in of)
    assert len(by_route) == (5 if kind == "a record" else 4)
    sound = sum(one.body[:1] == b"{" and one.body[-1:] == b"}" for one in of)
    assert 0 < sound < len(of)
