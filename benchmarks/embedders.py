"""Compares quantised graphs with the exact embedder, and the cost of a text: the reason for the one that is built.

    python -m benchmarks.embedders [--rounds 5]

Chats of the sample, one by one and on one thread, as the deriver embeds them; the graphs take turns in each round, and
the middle round counts. The exact graph is the pulled ``minilm-fp32``; the others are made of it here.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.load import chat_texts
from benchmarks.machine import describe
from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.adapters.onnx_embedder import OnnxEmbedder
from mmplatform.local.models.minilm_onnx import QUANTISED_BY_BLOCKS, quantise, quantise_by_channel
from mmplatform.settings import load

_EXACT: Final = "minilm-fp32"


@contextmanager
def embedders(home: Path) -> Iterator[dict[str, OnnxEmbedder]]:
    """The product's embedder over each graph."""
    with tempfile.TemporaryDirectory() as folder:
        exact, full, half, pinned = (
            _variant_dir(Path(folder) / name, home) for name in ("exact", "whole", "half", "ours")
        )
        exact.symlink_to(home / exact.name)
        quantise_by_channel(exact, full, [])
        quantise_by_channel(exact, half, QUANTISED_BY_BLOCKS)
        quantise(exact, pinned)
        yield {
            "exact": OnnxEmbedder(exact.parent),
            "all by channel": OnnxEmbedder(full.parent),
            "delicate products left exact": OnnxEmbedder(half.parent),
            "delicate products by blocks (ours)": OnnxEmbedder(pinned.parent),
        }


def _variant_dir(folder: Path, home: Path) -> Path:
    """Folder of a graph that has the words of a pulled one."""
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("*.onnx"))
    return folder / "model.onnx"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    home = locate_model(_EXACT, load().models_path)
    texts = [f"{text} (ticket {number})" for number, text in enumerate(chat_texts())]
    print(f"machine: {describe()}")
    with embedders(home) as variants:
        vectors = {name: embedder.embed(texts) for name, embedder in variants.items()}
        spent: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(arguments.rounds):
            for name, embedder in variants.items():
                before = time.process_time()
                embedder.embed(texts)
                spent[name].append(1000 * (time.process_time() - before) / len(texts))
    print("| graph | cosine to the exact one, mean | minimum | ms of CPU a text | minimum to maximum |")
    print("|---|---|---|---|---|")
    for name, found in vectors.items():
        alike, elapsed_ms = (found * vectors["exact"]).sum(axis=1), spent[name]
        spread = f"{min(elapsed_ms):.2f} to {max(elapsed_ms):.2f}"
        print(f"| {name} | {alike.mean():.4f} | {alike.min():.4f} | {median(elapsed_ms):.2f} | {spread} |")


if __name__ == "__main__":
    main()
