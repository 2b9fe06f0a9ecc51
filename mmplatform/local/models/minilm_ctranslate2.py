"""Builds the text embedder for CTranslate2: a BERT encoder's weights (safetensors) become ``model.bin``, without torch.

Only numpy computes here: products, roundings and a maximum, so that each machine writes the same bytes. Its engine's
int8 products differ by processor; so the vectors are compared with the exact ones on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog

from mmplatform.errors import Permanent
from mmplatform.local.models.minilm_onnx import MIN_COSINE, PROBES, build_minilm_fp32

_Tensors = Mapping[str, npt.NDArray[np.float32]]
_PROJECTIONS: Final = ("query", "key", "value")


def build_minilm_ct2(directory: Path) -> None:
    """Turn ``model.safetensors``, ``config.json`` and ``vocab.txt`` in ``directory`` into CTranslate2's files.

    The weights are deleted.

    Raises:
        Permanent: the vectors differ too much from the exact ones on this machine.
    """
    written = directory / "ct2"
    written.mkdir()
    convert(directory, written)
    build_minilm_fp32(directory)
    for path in written.iterdir():
        path.replace(directory / path.name)
    written.rmdir()
    cosine = _mean_cosine(directory)
    (directory / "model.onnx").unlink()
    if cosine < MIN_COSINE:
        raise Permanent(
            f"CTranslate2's vectors differ too much from the exact ones on this processor (cosine {cosine:.4f}); "
            "use the embedder minilm"
        )
    structlog.get_logger(__name__).debug("embedder converted", cosine=round(cosine, 4))


def convert(source: Path, out: Path) -> None:
    """Write ``model.bin``, ``config.json`` and ``vocabulary.json`` from the files in ``source``."""
    from safetensors.numpy import load_file

    config = json.loads((source / "config.json").read_text())
    spec = _encoder_spec(load_file(source / "model.safetensors"), config)
    spec.register_vocabulary((source / "vocab.txt").read_text(encoding="utf-8").splitlines())
    spec.config.unk_token = "[UNK]"  # noqa: S105 - a word of the vocabulary
    spec.config.layer_norm_epsilon = config["layer_norm_eps"]
    spec.config.add_attribute("hidden_size", config["hidden_size"])  # read by `configured_width`
    spec.validate()
    spec.optimize("int8")
    spec.save(str(out))


def _encoder_spec(tensors: _Tensors, config: Mapping[str, Any]) -> Any:
    """Fill the engine's description of a BERT encoder; the engine fuses query, key and value."""
    from ctranslate2.specs import common_spec, transformer_spec

    encoder = transformer_spec.TransformerEncoderSpec(
        int(config["num_hidden_layers"]),
        int(config["num_attention_heads"]),
        pre_norm=False,
        activation=common_spec.Activation.GELU,
        layernorm_embedding=True,
    )
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = tensors["embeddings.word_embeddings.weight"]
    # Every text is one segment, so type 0 is folded into the positions.
    encoder.position_encodings.encodings = (
        tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
    )
    _fill_norm(encoder.layernorm_embedding, tensors, "embeddings.LayerNorm")
    for index, layer in enumerate(encoder.layer):
        name = f"encoder.layer.{index}"
        attention = f"{name}.attention"
        _fill_dense(layer.self_attention.linear[0], tensors, *(f"{attention}.self.{part}" for part in _PROJECTIONS))
        _fill_dense(layer.self_attention.linear[1], tensors, f"{attention}.output.dense")
        _fill_norm(layer.self_attention.layer_norm, tensors, f"{attention}.output.LayerNorm")
        _fill_dense(layer.ffn.linear_0, tensors, f"{name}.intermediate.dense")
        _fill_dense(layer.ffn.linear_1, tensors, f"{name}.output.dense")
        _fill_norm(layer.ffn.layer_norm, tensors, f"{name}.output.LayerNorm")
    return transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)


def _fill_dense(spec: Any, tensors: _Tensors, *names: str) -> None:
    spec.weight = np.concatenate([tensors[f"{name}.weight"] for name in names])
    spec.bias = np.concatenate([tensors[f"{name}.bias"] for name in names])


def _fill_norm(spec: Any, tensors: _Tensors, name: str) -> None:
    spec.gamma, spec.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def _mean_cosine(directory: Path) -> float:
    """Return the mean cosine between both engines' vectors of the probe sentences; both models are in ``directory``."""
    from mmplatform.derive.adapters.ctranslate2_embedder import CTranslate2Embedder
    from mmplatform.derive.adapters.onnx_embedder import OnnxEmbedder

    exact, converted = (engine(directory).embed(PROBES) for engine in (OnnxEmbedder, CTranslate2Embedder))
    return float((exact * converted).sum(axis=1).mean())
