"""Artifacts are judged while they are read: what no store takes is refused there, in microseconds, by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.artifacts import VECTOR_HEADER, artifact_id, decode_artifact, pack_vector
from mmplatform.errors import Rejected
from mmplatform.events import encode
from tests.builders import chat, message, passage, position

SOUND = passage(message(chat(), position()))
PASSAGE = json.loads(encode(SOUND))
HEADERS = {VECTOR_HEADER: SOUND.vector_f32}


def changed(path, value):
    """The passage with one part changed, as its JSON."""
    copy = json.loads(json.dumps(PASSAGE))
    *parents, last = path.split(".")
    place = copy
    for parent in parents:
        place = place[parent]
    place[last] = value
    return json.dumps(copy)


def packed(*numbers):
    return np.array(numbers, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (b"", "0 bytes are no vector of float32"),
        (b"12345", "5 bytes are no vector of float32"),
        (packed(1.0, float("nan")), "has NaN or infinite parts"),
        (packed(float("inf"), 0.0), "has NaN or infinite parts"),
        (bytes(4 * 65_537), "262148 bytes are no vector of float32"),
    ],
)
def test_a_vector_that_is_none_is_refused_where_it_is_read(vector, reason):
    with pytest.raises(Rejected) as caught:
        decode_artifact(encode(SOUND), {VECTOR_HEADER: vector})
    assert str(caught.value) == f"not an artifact: vector: {reason}"


def test_a_passage_without_its_header_is_refused_and_another_artifact_needs_none():
    with pytest.raises(Rejected, match="vector: 0 bytes"):
        decode_artifact(encode(SOUND))
    other = message(chat(), position())
    assert decode_artifact(encode(other)) == other


def test_a_vector_is_in_the_header_and_not_in_the_value():
    assert not any(name.startswith("vector") for name in PASSAGE)
    assert decode_artifact(encode(SOUND), HEADERS) == SOUND


def test_the_largest_vector_is_taken():
    assert len(decode_artifact(encode(SOUND), {VECTOR_HEADER: bytes(4 * 65_536)}).vector) == 65_536


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=500))
def test_a_vector_comes_back_as_it_was_packed(numbers):
    found = decode_artifact(encode(SOUND), {VECTOR_HEADER: pack_vector(np.array(numbers, dtype=np.float32))})
    assert found.vector.tolist() == np.array(numbers, dtype=np.float32).tolist()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ordinal", 2**80),
        ("ordinal", 2**63),
        ("locator.start", 2**63),
        ("locator.start", -1),
        ("provenance.position.offset", 2**63),
        ("provenance.position.topic_partition", 2**31),
        ("provenance.position.topic", "t" * 250),
        ("provenance.position.generation", 2**63),
        ("provenance.revision", 2**63),
        ("provenance.derivation", -1),
        ("tenant", "No Tenant"),
        ("source", "s" * 201),
        ("provenance.model", "m" * 501),
        ("locator.role", "r" * 51),
        ("embedder", "e" * 501),
        ("source_artifact_id", "not an id"),
        ("locator", {"at": "call", "call_id": "c", "channel": 2**63, "speaker": "", "start_s": 0, "end_s": 1}),
        ("locator", {"at": "call", "call_id": "c", "channel": 0, "speaker": "s" * 65, "start_s": 0, "end_s": 1}),
        ("locator", {"at": "call", "call_id": "c", "channel": 0, "speaker": "", "start_s": float("nan"), "end_s": 1}),
    ],
)
def test_what_no_store_holds_is_refused_where_it_is_read(path, value):
    decode_artifact(json.dumps(PASSAGE), HEADERS)
    with pytest.raises(Rejected, match="not an artifact"):
        decode_artifact(changed(path, value), HEADERS)


@pytest.mark.parametrize(("path", "value"), [("schema_version", 1), ("schema_version", 3), ("kind", "film")])
def test_an_artifact_of_another_major_version_or_kind_is_refused_by_what_helps(path, value):
    with pytest.raises(Rejected, match="an artifact of an unknown kind or version: upgrade the workers"):
        decode_artifact(changed(path, value), HEADERS)


def test_the_largest_integer_is_taken():
    assert decode_artifact(changed("ordinal", 2**63 - 1), HEADERS).ordinal == 2**63 - 1


@pytest.mark.parametrize("path", ["added_later", "stamps.added_later", "provenance.position.added_later"])
def test_an_unknown_field_of_an_artifact_is_kept_and_written_again(path):
    value = {"of": ["a later", "release"]}
    artifact = decode_artifact(changed(path, value), HEADERS)
    written = json.loads(encode(artifact))
    for part in path.split("."):
        written = written[part]
    assert written == value


def test_the_ids_of_artifacts_follow_from_the_identity_of_the_event():
    events = [chat(), chat(conversation_id="conv-2"), chat(source="crm"), chat(tenant="acme")]
    assert len({message(event, position()).artifact_id for event in events}) == 4
    assert message(chat(text="edited"), position()).artifact_id == message(chat(), position()).artifact_id
    assert message(chat(), position()).artifact_id == artifact_id("message", chat().uid, 0)
    assert [message(event, position()).event_uids for event in events] == [(event.uid,) for event in events]
