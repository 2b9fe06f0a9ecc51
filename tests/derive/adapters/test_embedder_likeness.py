"""How near the quantised text embedders are to the exact one; tests/behaviours has what they do alike."""

import pytest

from benchmarks.load import chat_texts
from mmplatform.derive.adapters.model_files import is_ctranslate2_model
from mmplatform.pipeline.factories import open_embedder
from mmplatform.settings import load

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def likeness():
    """The cosine of each real sentence's vector to the exact one, by model."""
    texts = chat_texts()
    exact, *others = (open_embedder(load(embedding_model=name)) for name in ("minilm-fp32", "minilm", "minilm-ct2"))
    vectors = exact.embed(texts)
    return {embedder.name: (embedder.embed(texts) * vectors).sum(axis=1) for embedder in others}


@pytest.mark.parametrize("name", ["minilm", "minilm-ct2"])
def test_a_quantised_model_has_nearly_the_directions_of_the_exact_one(likeness, name):
    assert likeness[name].min() > 0.97
    assert likeness[name].mean() > 0.99


def test_ctranslate2_is_at_least_as_near_as_the_quantised_graph(likeness):
    # Measured: .9969 and .9949. A processor on which the graph cannot be quantised has the exact one, with 1.
    assert likeness["minilm-ct2"].mean() >= min(likeness["minilm"].mean(), 0.995)


def test_a_graph_comes_before_the_weights_of_the_other_engine(tmp_path):
    assert not is_ctranslate2_model(tmp_path)
    (tmp_path / "model.bin").touch()
    assert is_ctranslate2_model(tmp_path)
    (tmp_path / "model.onnx").touch()
    assert not is_ctranslate2_model(tmp_path)
