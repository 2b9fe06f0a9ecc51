"""The product's embedder without the product: the same weights, tokens and arithmetic in a peer's own environment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_TOKENS = 256


class MiniLM:
    """``model.onnx`` and ``tokenizer.json`` in a directory; on one thread, each text by itself, as the product does."""

    def __init__(self, directory: Path) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.embed(["warm up"])

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """L2-normalised vectors."""
        rows = []
        for encoded in self._tokenizer.encode_batch(list(texts)):
            feed = {"input_ids": [encoded.ids], "attention_mask": [encoded.attention_mask]}
            rows.append(
                self._session.run(None, {name: np.array(value, np.int64) for name, value in feed.items()})[0][0]
            )
        return np.stack(rows).astype(np.float32)
