"""The text embedder that is built here: what its graph computes, and how it is quantised."""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from mmplatform.local.models import MODELS, minilm_onnx


def random_bert(folder, layers=2):
    """A BERT with seeded weights, in the files that the builder reads."""
    rng = np.random.default_rng(7)
    size, inner, words = 16, 32, 20
    config = {"layer_norm_eps": 1e-12, "num_hidden_layers": layers, "hidden_size": size, "num_attention_heads": 4}
    shapes = {
        "embeddings.word_embeddings.weight": (words, size),
        "embeddings.position_embeddings.weight": (32, size),
        "embeddings.token_type_embeddings.weight": (2, size),
        "embeddings.LayerNorm.weight": (size,),
        "embeddings.LayerNorm.bias": (size,),
    }
    for layer in range(layers):
        own = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{own}.{part}.weight": (size, size), f"{own}.{part}.bias": (size,)}
        shapes |= {f"{own}.intermediate.dense.weight": (inner, size), f"{own}.intermediate.dense.bias": (inner,)}
        shapes |= {f"{own}.output.dense.weight": (size, inner), f"{own}.output.dense.bias": (size,)}
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{own}.{part}.weight": (size,), f"{own}.{part}.bias": (size,)}
    tensors = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    return config, tensors


def bert_in_numpy(ids, config, weights):
    """The textbook encoder for one text without padding, mean-pooled and of length 1."""
    from math import erf

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + config["layer_norm_eps"])
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    heads, each = config["num_attention_heads"], config["hidden_size"] // config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        own = f"encoder.layer.{layer}"
        q, k, v = (
            dense(x, f"{own}.attention.self.{part}").reshape(len(ids), heads, each).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(each)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ v
        attended = dense(mixed.transpose(1, 0, 2).reshape(len(ids), -1), f"{own}.attention.output.dense")
        x = norm(x + attended, f"{own}.attention.output.LayerNorm")
        wide = dense(x, f"{own}.intermediate.dense")
        wide = wide * (1 + np.vectorize(erf)(wide / np.sqrt(2))) / 2
        x = norm(x + dense(wide, f"{own}.output.dense"), f"{own}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


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


def test_a_changed_builder_of_the_embedder_needs_a_raised_recipe():
    """Else a machine that has the older one keeps it: two of one release would have two spaces."""
    digest = hashlib.sha256(Path(minilm_onnx.__file__).read_bytes()).hexdigest()[:12]
    assert (MODELS["minilm"].recipe, digest) == (2, "1a2b85962f51"), "raise the recipe, unless words alone have changed"
