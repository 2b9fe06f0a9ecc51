"""How like the exact embedder its quantised graphs are, and what a text costs each: why the one is built that is.

    python -m benchmarks.embedders [--rounds 5]

Chats of the sample, one by one and on one thread, as the deriver embeds them; the graphs take turns in each round, and
the middle round counts. The exact graph is the pulled ``minilm-fp32``; the others are made of it here.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from tokenizers import Tokenizer

from benchmarks.load import chat_texts
from benchmarks.machine import describe
from mmplatform.derive.models import locate
from mmplatform.local.models.minilm import DELICATE, by_channel, quantise
from mmplatform.settings import load

_EXACT: Final = "minilm-fp32"


def session(graph: Path) -> Any:
    """As the product opens it."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def feeds_of(words: Tokenizer) -> list[dict[str, Any]]:
    """The sample's chats as tokens, one text each."""
    words.no_padding()
    return [
        {"input_ids": np.array([each.ids], np.int64), "attention_mask": np.array([each.attention_mask], np.int64)}
        for each in words.encode_batch([f"{text} (ticket {number})" for number, text in enumerate(chat_texts())])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    home = locate(_EXACT, load().models_path)
    exact = home / "model.onnx"
    feeds = feeds_of(Tokenizer.from_file(str(home / "tokenizer.json")))
    print(f"machine: {describe()}")
    with tempfile.TemporaryDirectory() as folder:
        ours, whole, half = (Path(folder) / name for name in ("ours.onnx", "whole.onnx", "half.onnx"))
        quantise(exact, ours)
        by_channel(exact, whole, [])
        by_channel(exact, half, DELICATE)
        graphs = {
            "exact": exact,
            "all by channel": whole,
            "delicate products left exact": half,
            "delicate products by blocks (ours)": ours,
        }
        sessions = {name: session(path) for name, path in graphs.items()}
    vectors = {name: np.concatenate([each.run(None, feed)[0] for feed in feeds]) for name, each in sessions.items()}
    spent: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(arguments.rounds):
        for name, each in sessions.items():
            before = time.process_time()
            for feed in feeds:
                each.run(None, feed)
            spent[name].append(1000 * (time.process_time() - before) / len(feeds))
    print("| graph | cosine to the exact one, mean | least | ms of processor a text | least to most |")
    print("|---|---|---|---|---|")
    for name, found in vectors.items():
        alike, took = (found * vectors["exact"]).sum(axis=1), spent[name]
        spread = f"{min(took):.2f} to {max(took):.2f}"
        print(f"| {name} | {alike.mean():.4f} | {alike.min():.4f} | {median(took):.2f} | {spread} |")


if __name__ == "__main__":
    main()
