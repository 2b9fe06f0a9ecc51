"""Builds the text embedder: a BERT encoder's weights (safetensors) become one ONNX graph, without torch.

Tokens in, a unit vector out: mean pooling and L2 normalisation are in the graph, so that no caller can omit them. The
matrices are quantised per channel (dynamic int8), which is about twice as fast. The narrowing products of the first
layers alone would cause half of the difference (mean cosine .995 → .990): there both sides are quantised by blocks of
128, each with its own scale. That is as accurate as leaving them exact and costs less (``benchmarks/embedders.py``).
The quantised graph is used only if it agrees with the exact one on this machine's processor; else the exact one is.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog

Floats = npt.NDArray[np.float32]

MIN_COSINE: Final = 0.99
"""Minimum mean cosine between the quantised and the exact vectors of the probe sentences."""

QUANTISED_BY_BLOCKS: Final = [f"matmul_encoder.layer.{layer}.output.dense" for layer in range(4)]
"""The narrowing products whose inputs differ most in size."""

_OPSET: Final = 17
_BLOCK: Final = 128
_INT8: Final = 4
"""``accuracy_level`` of onnxruntime's MatMulNBits: the inputs are quantised too."""

PROBES: Final = (
    "payment declined",
    "My card was declined three times and I was charged twice.",
    "How do I reset the password of my account?",
    "The app shows error E-4012 when I upload a screenshot of the invoice.",
    "Thanks, that solved it!",
    "I would like to cancel my subscription at the end of the month and get a refund for the last two weeks.",
    "The parcel was to arrive on Tuesday, but the tracking page has said 'in transit' for six days.",
    "ok",
)
"""Sentences of which the vectors of a built model are compared with the exact ones."""


@dataclass(slots=True)
class _Graph:
    """Collects nodes and weights; every call returns the name of the new tensor."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name


def build_minilm_fp32(directory: Path) -> None:
    """As :func:`build_minilm`, but unquantised: twice as slow, and another embedder to the index."""
    config = json.loads((directory / "config.json").read_text())
    _write_encoder(directory / "model.safetensors", config, directory / "model.onnx")
    (directory / "model.safetensors").unlink()


def build_minilm(directory: Path) -> None:
    """Turn ``model.safetensors`` and ``config.json`` in ``directory`` into ``model.onnx``, and delete the weights."""
    config = json.loads((directory / "config.json").read_text())
    exact, quantised, final = (directory / name for name in ("exact.onnx", "int8.onnx", "model.onnx"))
    _write_encoder(directory / "model.safetensors", config, exact)
    chosen, rejected = (quantised, exact) if _quantised_is_accurate(exact, quantised, directory) else (exact, quantised)
    chosen.replace(final)
    rejected.unlink(missing_ok=True)
    (directory / "model.safetensors").unlink()


def _quantised_is_accurate(exact: Path, quantised: Path, tokenizer: Path) -> bool:
    """Write the quantised graph; return whether it is accurate enough to serve."""
    log = structlog.get_logger(__name__)
    try:
        quantise(exact, quantised)
        cosine = mean_cosine(exact, quantised, tokenizer)
    except Exception as error:  # noqa: BLE001 - any limit of this machine's onnxruntime: the exact graph serves
        log.warning("the embedder cannot be quantised here; keeping float32", error=type(error).__name__)
        return False
    if cosine < MIN_COSINE:
        log.warning("int8 vectors differ too much on this processor; keeping float32", cosine=round(cosine, 4))
        return False
    log.debug("embedder quantised", cosine=round(cosine, 4))
    return True


def quantise(exact: Path, out: Path) -> None:
    """Write the quantised form of an exact graph."""
    coarse = out.with_name("coarse.onnx")
    try:
        quantise_by_channel(exact, coarse, QUANTISED_BY_BLOCKS)
        _quantise_by_blocks(coarse, out)
    finally:
        coarse.unlink(missing_ok=True)


def quantise_by_channel(exact: Path, out: Path, excluded: list[str]) -> None:
    """Quantise the matrices dynamically, except the products named in ``excluded``."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        exact,
        out,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        # Seven bits: processors without VNNI add pairs of products in 16 bits, which overflow with eight.
        reduce_range=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=excluded,
    )


def _quantise_by_blocks(graph: Path, out: Path) -> None:
    """Quantise the products that the dynamic quantiser left out, to eight bits; measured with VNNI only."""
    import onnx

    root = logging.getLogger()
    before = root.level, root.handlers[:]
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    root.setLevel(before[0])  # its import configures the root logger
    root.handlers[:] = before[1]
    quantiser = MatMulNBitsQuantizer(
        onnx.load(graph), bits=8, block_size=_BLOCK, is_symmetric=True, accuracy_level=_INT8
    )
    quantiser.process()
    quantiser.model.save_model_to_file(str(out))


def mean_cosine(first: Path, second: Path, tokenizer: Path) -> float:
    """Return the mean cosine between two graphs' vectors of the probe sentences."""
    import onnxruntime
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    encoder.no_truncation()
    encoder.no_padding()
    feeds = [
        {"input_ids": np.array([e.ids], np.int64), "attention_mask": np.array([e.attention_mask], np.int64)}
        for e in encoder.encode_batch(list(PROBES))
    ]
    sessions = [onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (first, second)]
    a, b = (np.concatenate([session.run(None, feed)[0] for feed in feeds]) for session in sessions)
    return float((a * b).sum(axis=1).mean())


def _write_encoder(weights: Path, config: dict[str, Any], out: Path) -> None:
    import onnx
    from onnx import TensorProto, helper
    from safetensors.numpy import load_file

    tensors = {name: np.asarray(value) for name, value in load_file(weights).items()}
    graph = _Graph()
    hidden = _embed_tokens(graph, tensors, float(config["layer_norm_eps"]))
    bias = _mask_bias(graph)
    for layer in range(int(config["num_hidden_layers"])):
        hidden = _layer(graph, tensors, layer, hidden, bias, config)
    _pool(graph, hidden)
    tokens = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    vector = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", config["hidden_size"]])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "sentence_encoder", tokens, [vector], graph.weights),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=8,
        producer_name="mmplatform",
    )
    onnx.checker.check_model(model)
    # The mark of the quantiser's own preparation: this graph already has the form that it produces.
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    onnx.save(model, out)


def _norm(graph: _Graph, tensors: dict[str, Floats], name: str, value: str, eps: float) -> str:
    scale = graph.constant(f"{name}.weight", tensors[f"{name}.weight"])
    shift = graph.constant(f"{name}.bias", tensors[f"{name}.bias"])
    return graph.op("LayerNormalization", value, scale, shift, axis=-1, epsilon=eps)


def _dense(graph: _Graph, name: str, value: str, weight: Floats, bias: Floats) -> str:
    product = graph.op("MatMul", value, graph.constant(f"{name}.weight", weight.T), output=f"matmul_{name}")
    return graph.op("Add", product, graph.constant(f"{name}.bias", bias))


def _embed_tokens(graph: _Graph, tensors: dict[str, Floats], eps: float) -> str:
    """Word + position + token type; every text is one segment, so type 0 is folded into the positions."""
    words = graph.constant("words", tensors["embeddings.word_embeddings.weight"])
    positions = tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
    length = graph.op("Shape", "input_ids", start=1, end=2)
    zero = graph.constant("zero", np.array([0], dtype=np.int64))
    sliced = graph.op("Slice", graph.constant("places", positions), zero, length, zero)
    return _norm(
        graph, tensors, "embeddings.LayerNorm", graph.op("Add", graph.op("Gather", words, "input_ids"), sliced), eps
    )


def _mask_bias(graph: _Graph) -> str:
    """0 where a token is, a large negative number where padding is; shape (batch, 1, 1, tokens)."""
    from onnx import TensorProto

    real = graph.op("Cast", "attention_mask", output="real", to=TensorProto.FLOAT)
    absent = graph.op("Sub", graph.constant("one", np.array(1, dtype=np.float32)), real)
    bias = graph.op("Mul", absent, graph.constant("never", np.array(-1e9, dtype=np.float32)))
    return graph.op("Unsqueeze", bias, graph.constant("axes_1_2", np.array([1, 2], dtype=np.int64)))


def _layer(graph: _Graph, tensors: dict[str, Floats], index: int, value: str, bias: str, config: dict[str, Any]) -> str:
    name, eps = f"encoder.layer.{index}", float(config["layer_norm_eps"])
    attended = _attention(graph, tensors, name, value, bias, int(config["num_attention_heads"]))
    value = _norm(graph, tensors, f"{name}.attention.output.LayerNorm", graph.op("Add", attended, value), eps)
    wide, narrow = f"{name}.intermediate.dense", f"{name}.output.dense"
    inner = _gelu(graph, _dense(graph, wide, value, tensors[f"{wide}.weight"], tensors[f"{wide}.bias"]))
    outer = _dense(graph, narrow, inner, tensors[f"{narrow}.weight"], tensors[f"{narrow}.bias"])
    return _norm(graph, tensors, f"{name}.output.LayerNorm", graph.op("Add", outer, value), eps)


def _attention(graph: _Graph, tensors: dict[str, Floats], name: str, value: str, bias: str, heads: int) -> str:
    """Multi-head attention; query, key and value are one matrix product, the scale is folded into the query."""
    own = f"{name}.attention.self"
    scale = np.float32((tensors[f"{own}.query.bias"].shape[0] // heads) ** -0.5)
    scales = {"query": scale, "key": np.float32(1), "value": np.float32(1)}
    weight = np.concatenate([tensors[f"{own}.{part}.weight"] * by for part, by in scales.items()])
    shift = np.concatenate([tensors[f"{own}.{part}.bias"] * by for part, by in scales.items()])
    joined = _dense(graph, f"{own}.qkv", value, weight, shift)
    shape = graph.constant(f"{own}.shape", np.array([0, 0, 3, heads, -1], dtype=np.int64))
    # (batch, tokens, 3, heads, size) → three of (batch, heads, tokens, size)
    stacked = graph.op("Transpose", graph.op("Reshape", joined, shape), perm=[2, 0, 3, 1, 4])
    query, key, content = (
        graph.op("Gather", stacked, graph.constant(f"{own}.{i}", np.array(i, dtype=np.int64)), axis=0) for i in range(3)
    )
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    shares = graph.op("Softmax", graph.op("Add", scores, bias), axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", shares, content), perm=[0, 2, 1, 3])
    flat = graph.op("Reshape", mixed, graph.constant(f"{own}.flat", np.array([0, 0, -1], dtype=np.int64)))
    out = f"{name}.attention.output.dense"
    return _dense(graph, out, flat, tensors[f"{out}.weight"], tensors[f"{out}.bias"])


def _gelu(graph: _Graph, value: str) -> str:
    """The exact form x·(1 + erf(x/√2))/2, in the node order that onnxruntime fuses."""
    number = len(graph.nodes)
    root, one, half = (
        graph.constant(f"gelu_{number}_{i}", np.array(constant, dtype=np.float32))
        for i, constant in enumerate((2**0.5, 1.0, 0.5))
    )
    bent = graph.op("Add", graph.op("Erf", graph.op("Div", value, root)), one)
    return graph.op("Mul", graph.op("Mul", value, bent), half)


def _pool(graph: _Graph, hidden: str) -> None:
    """Mean over the real tokens, then to length 1."""
    axis = graph.constant("axis_1", np.array([1], dtype=np.int64))
    column = graph.op("Unsqueeze", "real", graph.constant("axis_last", np.array([-1], dtype=np.int64)))
    total = graph.op("ReduceSum", graph.op("Mul", hidden, column), axis, keepdims=0)
    # The mean's divisor cancels out in the normalisation, so that the sum is enough.
    graph.op("LpNormalization", total, output="sentence_embedding", axis=-1, p=2)
