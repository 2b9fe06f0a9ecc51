"""Text → vectors: tokenizers tokenises, onnxruntime runs the encoder. Neither needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mmplatform.artifacts import Vector
from mmplatform.derive.adapters.model_files import embedder_version
from mmplatform.derive.adapters.tokenizer import TextTokenizer
from mmplatform.derive.readable import readable
from mmplatform.errors import Misconfigured

MAX_TOKENS: Final = 256
"""The model's training length. Longer texts are truncated, so passages are shorter than this."""


class OnnxEmbedder:
    """Sentence encoder from a directory with ``model.onnx`` and a tokenizer; returns L2-normalised vectors.

    The graph maps ``input_ids`` and ``attention_mask`` to one vector for each text: it includes the pooling.

    Every text runs alone. The int8 graph derives its scales from the whole tensor, so that in a padded batch a text's
    vector would depend on its neighbours (cosine .99), and neither a replay nor the memo would be exact. The cost is
    small: one text of 13 tokens runs at three quarters of the batched rate, and padding costs nothing.
    """

    def __init__(self, directory: Path, *, threads: int = 1) -> None:
        """Load and warm up; one run uses up to ``threads`` threads.

        Raises:
            Misconfigured: the directory holds no such model.
        """
        import onnxruntime

        self.name: str = directory.name
        self.version: str = embedder_version(directory)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._tokenizer = TextTokenizer(directory, max_tokens=MAX_TOKENS)
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
        """Embed texts: L2-normalised float32 vectors, shape ``(len(texts), dimensions)``; shape (0, d) without texts.

        A text's vector never depends on the other texts. A text is truncated after 256 tokens, and read as
        :func:`mmplatform.derive.readable.readable` says.
        """
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        if not texts:
            return vectors
        for part in self._tokenizer.encode([readable(text) for text in texts]):
            ids = np.array([part.ids], np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            vectors[part.text] = self._session.run(None, feed)[0][0]
        return vectors
