"""What every text embedder does, whatever engine runs it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmplatform.derive.adapters.ctranslate2_embedder import CTranslate2Embedder
from mmplatform.derive.adapters.onnx_embedder import MAX_TOKENS, OnnxEmbedder
from mmplatform.errors import Misconfigured
from mmplatform.pipeline.factories import open_embedder, open_space_embedder, resolve_space
from mmplatform.settings import load

pytestmark = pytest.mark.models

ENGINES = {"minilm": OnnxEmbedder, "minilm-ct2": CTranslate2Embedder}
WORDS = ("payment", "declined", "card", "unbelievably", "😀", "E-4012", "the", "Müller", "?", "PMT-402", "refund")
texts_of_mixed_lengths = st.lists(
    st.one_of(
        st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join),
        st.text(max_size=60),
        st.sampled_from(("", "word " * 300, "x" * 5_000)),
    ),
    min_size=1,
    max_size=24,
)


@pytest.fixture(scope="module", params=ENGINES)
def embedder(request):
    return open_embedder(load(embedding_model=request.param))


def test_the_engine_is_that_of_the_models_files(embedder):
    assert type(embedder) is ENGINES[embedder.name]


def test_vectors_have_length_one(embedder):
    vectors = embedder.embed(["payment declined", "", "😀", "x" * 20_000, "word " * 5_000])
    assert vectors.shape == (5, embedder.dimensions) == (5, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_gives_an_empty_array_of_the_right_width(embedder):
    vectors = embedder.embed([])
    assert (vectors.shape, vectors.dtype) == ((0, 384), np.float32)


def test_the_vectors_are_those_of_the_named_model(embedder):
    # The model card's example; the exact model gives .6946 and .2569.
    person, dog, weather = embedder.embed(["That is a happy person", "That is a happy dog", "Today is a sunny day"])
    assert person @ dog == pytest.approx(0.6946, abs=0.03)
    assert person @ weather == pytest.approx(0.2569, abs=0.03)


def test_a_question_is_closest_to_its_answer(embedder):
    passages = [
        "Your bank's 3-D Secure confirmation did not reach us in time, so the payment was not completed.",
        "Your parcel left our warehouse three days ago.",
        "Reset links expire after 30 minutes.",
        "I returned the headlamp, when do I get my money back?",
    ]
    questions = ["why did the payment fail", "where is my delivery", "password reset does not work", "refund status"]
    scores = embedder.embed(questions) @ embedder.embed(passages).T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2, 3]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(texts=texts_of_mixed_lengths)
def test_a_vector_is_the_same_to_the_bit_alone_and_in_any_batch(embedder, texts):
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert (embedder.embed(texts) == alone).all()
    assert (embedder.embed(texts[::-1]) == alone[::-1]).all()


@pytest.mark.parametrize("words", [1, 10, 11, 60, 254, 400])
def test_a_vector_is_the_same_to_the_bit_among_many_of_its_length(embedder, words):
    rng = np.random.default_rng(words)
    vocabulary = ["payment", "card", "refund", "late", "parcel", "bank", "screen", "error", "month", "money"]
    texts = [" ".join(rng.choice(vocabulary, words)) for _ in range(40)]
    together = embedder.embed(texts)
    for number in (0, 1, 17, 39):
        assert (embedder.embed([texts[number]])[0] == together[number]).all()


def test_threads_that_embed_at_once_get_the_same_vectors(embedder):
    texts = [f"ticket {number} about {WORDS[number % len(WORDS)]}" for number in range(40)]
    expected = embedder.embed(texts)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: embedder.embed(texts), range(8)))
    assert all((vectors == expected).all() for vectors in found)


def test_a_text_over_the_limit_is_truncated(embedder):
    long = "word " * (MAX_TOKENS * 2)
    assert (embedder.embed([long]) == embedder.embed([long + "and something entirely different"])).all()


def test_emoji_are_read_by_their_names(embedder):
    vectors = embedder.embed(["\U0001f621", "\U0001f600", "\U0001f4e6", "an angry face", "a happy face", "a package"])
    scores = vectors[:3] @ vectors[3:].T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]
    assert (vectors[:3] @ vectors[:3].T)[np.triu_indices(3, 1)].max() < 0.9


def test_invisible_characters_change_no_vector(embedder):
    plain, hidden = embedder.embed(["my payment failed", "my\u200b pay\u00adment \ufefffailed\u2060"])
    assert (plain == hidden).all()


def test_half_an_emoji_is_no_reason_to_stop(embedder):
    assert np.isfinite(embedder.embed(["half \ud83d an emoji", "\x00"])).all()


def test_the_version_identifies_the_weights_and_the_reading(embedder):
    fingerprint, _, reading = embedder.version.partition("-")
    assert (len(fingerprint), reading) == (12, "r1")


def test_the_space_is_known_without_loading_the_model(embedder):
    space = resolve_space(load(), embedder.name)
    assert space.name == f"{embedder.name}@{embedder.version}"
    assert open_space_embedder(load(), space).version == embedder.version


def test_each_engine_is_a_space_of_its_own():
    spaces = {resolve_space(load(), name).name for name in (*ENGINES, "minilm-fp32")}
    assert len(spaces) == 3
    assert len({space.partition("@")[2] for space in spaces}) == 3, "also where a directory has another's name"


@pytest.mark.parametrize(
    ("engine", "weights"), [(OnnxEmbedder, "model.onnx"), (CTranslate2Embedder, "model.bin")], ids=["onnx", "ct2"]
)
def test_a_directory_without_a_model_is_refused(tmp_path, engine, weights):
    with pytest.raises(Misconfigured, match=r"no model\.onnx"):
        engine(tmp_path)
    (tmp_path / weights).write_bytes(b"no weights")
    with pytest.raises(Misconfigured, match="cannot load"):
        engine(tmp_path)
