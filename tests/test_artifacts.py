"""Artifacts are judged while they are read: what no store takes is refused there, in microseconds, by name."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.artifacts import decode_artifact, pack_vector
from mmplatform.errors import Rejected
from mmplatform.events import encode
from tests.builders import chat, message, passage, position

PASSAGE = json.loads(encode(passage(message(chat(), position()))))


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
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ("", "vector_float32"),
        ("no base64!", "vector_base64"),
        ("AAAAAA=", "vector_base64"),
        ("ф" * 8, "vector_base64"),
        (base64.b64encode(b"12345").decode(), "vector_float32"),
        (packed(1.0, float("nan")), "vector_finite"),
        (packed(float("inf"), 0.0), "vector_finite"),
        ("A" * 300_000, "string_too_long"),
    ],
)
def test_a_vector_that_is_none_is_refused_where_it_is_read(vector, reason):
    with pytest.raises(Rejected) as caught:
        decode_artifact(changed("vector_f32", vector))
    assert str(caught.value) == f"not an artifact: passage.vector_f32: {reason}"


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=500))
def test_a_vector_comes_back_as_it_was_packed(numbers):
    found = decode_artifact(changed("vector_f32", pack_vector(np.array(numbers, dtype=np.float32))))
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
    decode_artifact(json.dumps(PASSAGE))
    with pytest.raises(Rejected, match="not an artifact"):
        decode_artifact(changed(path, value))


def test_the_largest_integer_is_taken():
    assert decode_artifact(changed("ordinal", 2**63 - 1)).ordinal == 2**63 - 1
