"""The text embedder that is built for CTranslate2: what its encoder computes, and that each build is the same."""

import json

import ctranslate2
import numpy as np
import pytest
from safetensors.numpy import load_file

from mmplatform.derive.adapters.model_files import configured_width, locate_model
from mmplatform.errors import Permanent
from mmplatform.local.models import minilm_ctranslate2, verify
from mmplatform.settings import load
from tests.local.models.random_bert import bert_in_numpy, random_bert

TEXTS = ([3, 1, 4, 1, 5, 9, 2], [6, 5, 3, 5, 8, 9, 7])


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    config, _ = random_bert(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(f"word{number}" for number in range(19)) + "\n[UNK]\n")
    return folder


def vectors(folder, compute_type):
    encoder = ctranslate2.Encoder(str(folder), device="cpu", compute_type=compute_type, intra_threads=1)
    total = np.asarray(encoder.forward_batch([list(ids) for ids in TEXTS]).last_hidden_state).sum(axis=1)
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def converted(source, out):
    out.mkdir()
    minilm_ctranslate2.convert(source, out)
    return out


def test_the_encoder_is_the_textbook_encoder(source, tmp_path, monkeypatch):
    config, weights = json.loads((source / "config.json").read_text()), load_file(source / "model.safetensors")
    expected = np.stack([bert_in_numpy(ids, config, weights) for ids in TEXTS])
    quantised = vectors(converted(source, tmp_path / "int8"), "int8_float32")
    assert (quantised * expected).sum(axis=1).min() > 0.99
    optimize = ctranslate2.specs.TransformerEncoderModelSpec.optimize
    monkeypatch.setattr(ctranslate2.specs.TransformerEncoderModelSpec, "optimize", lambda spec, _: optimize(spec))
    exact = vectors(converted(source, tmp_path / "exact"), "float32")
    np.testing.assert_allclose(exact, expected, atol=2e-5)


def test_each_conversion_writes_the_same_bytes(source, tmp_path):
    first, second = (converted(source, tmp_path / name) for name in ("first", "second"))
    assert {path.name for path in first.iterdir()} == {"config.json", "model.bin", "vocabulary.json"}
    assert all(path.read_bytes() == (second / path.name).read_bytes() for path in first.iterdir())


def test_the_build_leaves_the_engines_files_and_the_width(source, monkeypatch):
    monkeypatch.setattr(minilm_ctranslate2, "_mean_cosine", lambda _: 1.0)
    minilm_ctranslate2.build_minilm_ct2(source)
    assert {path.name for path in source.iterdir()} == {"config.json", "model.bin", "vocab.txt", "vocabulary.json"}
    assert configured_width(source) == 16


def test_a_model_whose_vectors_differ_too_much_here_is_not_built(source, monkeypatch):
    monkeypatch.setattr(minilm_ctranslate2, "_mean_cosine", lambda _: 0.98)
    with pytest.raises(Permanent, match=r"cosine 0\.9800.*use the embedder minilm"):
        minilm_ctranslate2.build_minilm_ct2(source)


@pytest.mark.models
def test_the_pulled_model_is_to_the_byte_the_pinned_one():
    directory = locate_model("minilm-ct2", load().models_path)
    assert "model.bin" in verify.PINNED["minilm-ct2"]
    assert verify.changed_files("minilm-ct2", directory) == []
