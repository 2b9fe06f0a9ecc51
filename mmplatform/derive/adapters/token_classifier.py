"""Names by a token classifier in ONNX: tokenizers tokenises, onnxruntime runs the network. Neither needs torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmplatform.artifacts import Vector
from mmplatform.derive.adapters.tokenizer import TextTokenizer, TokenizedPart
from mmplatform.errors import Misconfigured

WEIGHTS: Final = Path("onnx") / "model_q4.onnx"
_MAX_TOKENS: Final = 512
_OVERLAP_TOKENS: Final = 64
_MIN_PROBABILITY: Final = 0.5
_NAME_LABELS: Final = ("GIVEN_NAME", "SURNAME")


class TokenClassifier:
    """BERT token classifier whose labels include given names and surnames."""

    def __init__(self, directory: Path) -> None:
        """Load the network; it runs in one thread.

        Raises:
            Misconfigured: the directory holds no such model.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            labels = json.loads((directory / "config.json").read_bytes())["id2label"]
            self._tokenizer = TextTokenizer(directory, max_tokens=_MAX_TOKENS, overlap_tokens=_OVERLAP_TOKENS)
            self._session = onnxruntime.InferenceSession(
                str(directory / WEIGHTS), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise Misconfigured(f"cannot load the token classifier in {directory}: {error}; pull it again") from error
        self._is_name = np.array([str(labels[key]).endswith(_NAME_LABELS) for key in sorted(labels, key=int)])
        self._inputs = {node.name for node in self._session.get_inputs()}

    def find_people(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Find spans of names in each text; a long text is read in parts that overlap.

        Texts of one length in tokens run together, so that no padding changes a result.
        """
        found: list[list[tuple[int, int]]] = [[] for _ in texts]
        if not texts:
            return found
        by_length: dict[int, list[TokenizedPart]] = {}
        for part in self._tokenizer.encode_parts(texts):
            by_length.setdefault(len(part.ids), []).append(part)
        for parts in by_length.values():
            ids = np.array([part.ids for part in parts], np.int64)
            for part, scores in zip(parts, self._name_probabilities(ids), strict=True):
                found[part.text].extend(_join_tokens(texts[part.text], part.offsets, scores))
        return [_unite(spans) for spans in found]

    def _name_probabilities(self, ids: NDArray[np.int64]) -> Vector:
        """Probability of each token to be a part of a name."""
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        logits = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
        scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        names: Vector = scores[..., self._is_name].sum(axis=-1)
        return names


def _join_tokens(text: str, offsets: Sequence[tuple[int, int]], scores: Vector) -> list[tuple[int, int]]:
    """Join name tokens of one word, and of neighbouring words; a word counts by the mean of its tokens."""
    words: list[tuple[int, int, list[float]]] = []
    for (start, end), score in zip(offsets, scores.tolist(), strict=True):
        if end <= start:
            continue
        if words and words[-1][1] == start and text[start].isalnum() and text[start - 1].isalnum():
            words[-1] = (words[-1][0], end, [*words[-1][2], score])
        else:
            words.append((start, end, [score]))
    return _unite(
        [(start, end) for start, end, tokens in words if sum(tokens) / len(tokens) >= _MIN_PROBABILITY], text=text
    )


def _unite(spans: Sequence[tuple[int, int]], *, text: str = "") -> list[tuple[int, int]]:
    """Unite spans that overlap, or that only a space, a hyphen or an apostrophe separates in ``text``."""
    united: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        gap = text[united[-1][1] : start] if united else ""
        if united and (start <= united[-1][1] or gap in {" ", "-", "'", "\u2019", ". "}):
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united
