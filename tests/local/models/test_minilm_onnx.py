"""The text embedder that is built here: what its graph computes, and how it is quantised."""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from mmplatform.local.models import MODELS, minilm_ctranslate2, minilm_onnx
from tests.local.models.random_bert import bert_in_numpy, random_bert


def test_the_built_graph_is_the_textbook_encoder_also_under_padding(tmp_path):
    import onnxruntime

    config, weights = random_bert(tmp_path)
    minilm_onnx._write_encoder(tmp_path / "model.safetensors", config, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    texts = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [13]]
    padded = np.zeros((3, 7), np.int64)
    mask = np.zeros((3, 7), np.int64)
    for row, ids in enumerate(texts):
        padded[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    (vectors,) = session.run(None, {"input_ids": padded, "attention_mask": mask})
    expected = np.stack([bert_in_numpy(ids, config, weights) for ids in texts])
    np.testing.assert_allclose(vectors, expected, atol=2e-5)


def built(folder, monkeypatch, likeness):
    """The files of a built model whose quantised graph is that much like the exact one, and its graph."""
    import onnx

    config, _ = random_bert(folder, layers=6)
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(minilm_onnx, "mean_cosine", lambda *_: likeness)
    minilm_onnx.build_minilm(folder)
    return {path.name for path in folder.iterdir()}, onnx.load(folder / "model.onnx").graph


def test_the_narrowing_products_are_quantised_by_blocks_and_the_others_by_channel(tmp_path, monkeypatch):
    level = logging.getLogger().level
    files, graph = built(tmp_path, monkeypatch, likeness=1.0)
    assert files == {"config.json", "model.onnx"}
    by_blocks = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert [node.name for node in by_blocks] == [f"matmul_encoder.layer.{layer}.output.dense_Q8" for layer in range(4)]
    for node in by_blocks:
        said = {each.name: each.i for each in node.attribute}
        assert (said["bits"], said["block_size"], said["accuracy_level"]) == (8, 128, 4)
    weights = {each.name for each in graph.initializer}
    exact = [n.name for n in graph.node if n.op_type == "MatMul" and weights & set(n.input)]
    assert exact == []
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 6 * 4 - 4
    assert logging.getLogger().level == level


def test_a_quantised_graph_that_differs_too_much_is_not_used(tmp_path, monkeypatch):
    files, graph = built(tmp_path, monkeypatch, likeness=0.9)
    assert files == {"config.json", "model.onnx"}
    assert not {node.op_type for node in graph.node} & {"MatMulNBits", "MatMulInteger"}


def test_where_quantising_fails_the_exact_graph_serves(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(minilm_onnx, "_quantise_by_blocks", broken)
    files, graph = built(tmp_path, monkeypatch, likeness=1.0)
    assert files == {"config.json", "model.onnx"}
    assert not {node.op_type for node in graph.node} & {"MatMulNBits", "MatMulInteger"}


@pytest.mark.parametrize(
    ("name", "builder", "recipe", "digest"),
    [("minilm", minilm_onnx, 2, "6a969eca8585"), ("minilm-ct2", minilm_ctranslate2, 1, "c4fb32ed376f")],
)
def test_a_changed_builder_of_an_embedder_needs_a_raised_recipe(name, builder, recipe, digest):
    """Else a machine that has the older one keeps it: two of one release would have two spaces."""
    found = hashlib.sha256(Path(builder.__file__).read_bytes()).hexdigest()[:12]
    assert (MODELS[name].recipe, found) == (recipe, digest), "raise the recipe, unless words alone have changed"
