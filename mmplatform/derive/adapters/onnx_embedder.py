"""Text to vectors: transformers makes the tokens, onnxruntime runs the encoder. Neither needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mmplatform.artifacts import Vector
from mmplatform.derive.adapters.model_files import fingerprint, quiet_transformers
from mmplatform.errors import Misconfigured

MAX_TOKENS: Final = 256
"""What the model was trained on; longer texts are cut, so passages are made shorter than this."""


class OnnxEmbedder:
    """A sentence encoder from a directory with ``model.onnx`` and a tokenizer; gives L2-normalised vectors.

    The graph takes ``input_ids`` and ``attention_mask`` and gives one vector for each text: pooling is in it.

    Every text runs by itself. The int8 graph takes its scales from the whole tensor, so that in a padded batch a
    text's vector would depend on its neighbours (cosine .99): then neither a replay nor the memo would be exact. It
    costs little: one text of 13 tokens runs at three quarters of the batched rate, and nothing is spent on padding.
    """

    def __init__(self, directory: Path, *, threads: int = 1) -> None:
        """Load and warm up; ``threads`` is what one run may use.

        Raises:
            Misconfigured: the directory holds no such model.
        """
        import onnxruntime

        quiet_transformers()
        from transformers import AutoTokenizer

        self.name: str = directory.name
        self.version: str = fingerprint(directory / "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
            self._session = onnxruntime.InferenceSession(
                str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise Misconfigured(
                f"cannot load the embedder in {directory}: {type(error).__name__}: {error}; pull it again"
            ) from error
        self.dimensions: int = int(self._session.get_outputs()[0].shape[-1])
        self.embed(["warm up"])

    def embed(self, texts: Sequence[str]) -> Vector:
        """L2-normalised vectors, shape ``(len(texts), dimensions)``, float32; an empty input gives shape (0, d).

        A text's vector never depends on the other texts. What is over 256 tokens is cut.
        """
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        if not texts:
            return vectors
        encoded = self._tokenizer(
            [_encodable(text) for text in texts],
            truncation=True,
            max_length=MAX_TOKENS,
            padding=False,
            return_token_type_ids=False,
        )
        for row, (ids, mask) in enumerate(zip(encoded["input_ids"], encoded["attention_mask"], strict=True)):
            feed = {"input_ids": np.array([ids], np.int64), "attention_mask": np.array([mask], np.int64)}
            vectors[row] = self._session.run(None, feed)[0][0]
        return vectors


def _encodable(text: str) -> str:
    """Lone surrogates (half of an emoji, from a source that cut a text) cannot be encoded; they become ``?``."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
