from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.buckets import (
    BUCKET_NAMES,
    bucket_name,
    bucket_number,
    collection_name,
    collection_prefix,
    is_passage_collection,
)


@given(subject=st.text(min_size=1, max_size=200))
def test_the_index_and_the_tables_put_a_person_into_the_same_bucket(subject):
    from pyiceberg.transforms import BucketTransform
    from pyiceberg.types import StringType

    assert bucket_number(subject) == BucketTransform(16).transform(StringType())(subject)
    assert bucket_name(subject) in BUCKET_NAMES


def test_a_bucket_never_changes():
    assert {name: bucket_name(name) for name in ("ann", "bob", "zoë", "customer-42")} == {
        "ann": "b06",
        "bob": "b02",
        "zoë": "b07",
        "customer-42": "b05",
    }


def test_embedders_whose_names_look_alike_get_collections_of_their_own():
    names = {collection_name(embedder, "b03") for embedder in ("a@1-0", "a-1@0", "A@1-0", "é@1", "ü@1", "x" * 300)}
    assert len(names) == 6
    assert all(is_passage_collection(name) and 3 <= len(name) <= 128 for name in names)


@pytest.mark.parametrize("name", ["passages-b03", "other-minilm-1-abcdef-b03", "passages-minilm-1-abcdef-b03-old"])
def test_a_foreign_collection_is_no_passage_collection(name):
    assert not is_passage_collection(name)
    assert not name.startswith(collection_prefix("minilm@1"))
