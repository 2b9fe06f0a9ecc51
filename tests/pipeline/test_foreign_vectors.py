"""Passages that a foreign client wrote with vectors that their embedder never made, against a real Chroma."""

from __future__ import annotations

import numpy as np
import pytest

from mmplatform.artifacts import VECTOR_HEADER, pack_vector
from mmplatform.consumers.index_sink import PendingRows
from mmplatform.consumers.indexer import write_bucket
from mmplatform.errors import Rejected
from mmplatform.events import encode, utc_now
from mmplatform.land.index.embedder_registry import EmbedderRegistry, Space
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
from mmplatform.pipeline.factories import resolve_space, vector_length
from mmplatform.settings import load
from mmplatform.telemetry.status_server import WorkerStatus
from tests.land.records import passage, position

pytestmark = pytest.mark.models
WIDTH = 384


@pytest.fixture
def space(settings, index):
    return EmbedderRegistry(index).ensure_serving(resolve_space(settings)).serving


def with_vector(number, space, parts):
    vector = np.zeros(parts, dtype=np.float32)
    vector[number % parts] = 1.0
    return passage(number).model_copy(update={"embedder": space.name, "vector_f32": pack_vector(vector)})


def land(dual_write_index, index, rows):
    """As the indexer does it, bucket by bucket: what is there, and the dead letters."""
    pending = PendingRows()
    for n, row in enumerate(rows):
        headers = {VECTOR_HEADER: row.vector_f32}
        pending.add(ConsumedRecord(position(n), encode(row), utc_now(), headers=headers))
    assert not pending.dead_letters
    letters = [
        letter
        for bucket in pending.buckets.values()
        for letter in write_bucket(dual_write_index, WorkerStatus("index"), bucket.values())
    ]
    return set(index.ids(embedder=EmbedderRegistry(index).latest().serving.name)), letters


def test_a_vector_of_another_length_is_named_even_where_it_comes_first_and_its_neighbours_land(
    dual_write_index, index, space
):
    rows = [with_vector(n, space, 3 if n in {0, 4} else WIDTH) for n in range(7)]
    landed, letters = land(dual_write_index, index, rows[:1])
    assert (landed, len(letters)) == (set(), 1)
    landed, letters = land(dual_write_index, index, rows)
    right = {row.artifact_id for n, row in enumerate(rows) if n not in {0, 4}}
    assert landed == right == set(index.ids(embedder=space.name))
    assert [letter.position.offset for letter in letters] == [0, 4]
    assert letters[0].reason == f"a vector of 3 parts, where {space.name} makes {WIDTH}"


def test_a_vector_that_the_secondary_space_never_made_does_not_keep_that_one_from_serving(
    dual_write_index, index, space
):
    log = EmbedderRegistry(index)
    secondary = resolve_space(load(), "minilm-fp32")
    log.change_spaces(log.latest(), serving=space, candidate=secondary)
    landed, letters = land(dual_write_index, index, [with_vector(0, secondary, 5), with_vector(1, space, WIDTH)])
    assert (len(landed), len(letters)) == (1, 1)
    assert not log.latest().lacking
    assert landed == set(index.ids(embedder=secondary.name)) == set(index.ids(embedder=space.name))


def test_a_vector_of_zeros_is_named_and_its_neighbours_land(dual_write_index, index, space):
    flat = with_vector(0, space, WIDTH).model_copy(update={"vector_f32": pack_vector(np.zeros(WIDTH, np.float32))})
    landed, letters = land(dual_write_index, index, [flat, with_vector(1, space, WIDTH)])
    assert landed == set(index.ids(embedder=space.name))
    assert [letter.reason for letter in letters] == ["a vector of zeros, to which nothing is near"]


def test_the_length_comes_from_the_model_where_its_description_differs(settings, space):
    assert vector_length(settings, space, WIDTH) == WIDTH
    assert vector_length(settings, space, 3) == WIDTH
    assert vector_length(settings, Space(model="nowhere", name="nowhere@1"), 3) is None


def test_without_the_model_the_index_decides(index, space):
    blind = DualWriteIndex(index, EmbedderRegistry(index), lambda _: None, MemoryMemo)
    blind.upsert([with_vector(1, space, WIDTH)], utc_now())
    later = with_vector(1, space, 3)
    later = later.model_copy(update={"provenance": later.provenance.model_copy(update={"derivation": 1})})
    with pytest.raises(Rejected):
        blind.upsert([later], utc_now())
