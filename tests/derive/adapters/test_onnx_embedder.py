"""The real text embedder."""

import numpy as np
import pytest

from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.adapters.onnx_embedder import MAX_TOKENS, OnnxEmbedder
from mmplatform.errors import Misconfigured
from mmplatform.pipeline.factories import resolve_space
from mmplatform.settings import load

pytestmark = pytest.mark.models


def test_vectors_have_length_one(embedder):
    vectors = embedder.embed(["payment declined", "", "😀", "x" * 20_000, "word " * 5_000])
    assert vectors.shape == (5, embedder.dimensions) == (5, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_gives_an_empty_array_of_the_right_width(embedder):
    assert embedder.embed([]).shape == (0, 384)


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


def test_a_vector_does_not_depend_on_its_neighbours(embedder):
    texts = ["short", "a rather longer text about a payment that failed three times " * 5, "PMT-402"]
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert (together == alone).all()


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


def test_name_and_version_identify_the_model(embedder):
    assert embedder.name == "minilm"
    fingerprint, _, reading = embedder.version.partition("-")
    assert (len(fingerprint), reading) == (12, "r1")


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(Misconfigured, match=r"no model\.onnx"):
        OnnxEmbedder(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(Misconfigured, match="cannot load"):
        OnnxEmbedder(tmp_path)


def test_the_space_is_known_without_loading_the_model(embedder):
    assert resolve_space(load()).name == f"{embedder.name}@{embedder.version}"


def test_the_unquantised_model_is_a_space_of_its_own_with_nearly_the_same_directions(embedder):
    settings = load(embedding_model="minilm-fp32")
    exact = OnnxEmbedder(locate_model(settings.embedding_model, settings.models_path))
    assert exact.dimensions == embedder.dimensions
    assert resolve_space(settings).name != resolve_space(load()).name
    texts = ["my card was declined twice", "the parcel never came", "how do I reset my password?"]
    likeness = (exact.embed(texts) * embedder.embed(texts)).sum(axis=1)
    assert likeness.min() > 0.97
