"""Compares the engines and quantised graphs of the embedder with the exact one, and the cost of a text.

    python -m benchmarks.embedders [--rounds 5]

Chats of the sample on one thread: one by one, in batches as they come, and in batches of one length (a text and its
copies). The embedders take turns in each round, and the middle round counts. The exact graph is the pulled
``minilm-fp32``, CTranslate2's model the pulled ``minilm-ct2``; the other graphs are made of the exact one here.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.load import chat_texts
from benchmarks.machine import describe
from mmplatform.artifacts import Vector
from mmplatform.derive.adapters.ctranslate2_embedder import CTranslate2Embedder
from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.adapters.onnx_embedder import OnnxEmbedder
from mmplatform.local.models.minilm_onnx import QUANTISED_BY_BLOCKS, quantise, quantise_by_channel
from mmplatform.ports import Embedder
from mmplatform.settings import load

_EXACT: Final = "minilm-fp32"
_CT2: Final = "minilm-ct2"
_MINILM: Final = "delicate products by blocks (minilm)"
_CONVERTED: Final = "CTranslate2 (minilm-ct2)"
_BATCHES: Final = (8, 32)
_ONE_LENGTH_STEP: Final = 4
"""Every fourth chat for the batches of one length: its 32 copies are many texts."""

Batches = list[list[str]]


@contextmanager
def embedders(models: Path) -> Iterator[dict[str, Embedder]]:
    """The product's embedder over each graph, and over CTranslate2's model."""
    home = locate_model(_EXACT, models)
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
            _MINILM: OnnxEmbedder(pinned.parent),
            _CONVERTED: CTranslate2Embedder(locate_model(_CT2, models)),
        }


def _variant_dir(folder: Path, home: Path) -> Path:
    """Folder of a graph that has the words of a pulled one."""
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("*.onnx"))
    return folder / "model.onnx"


def loads(texts: Sequence[str]) -> dict[str, Batches]:
    """The batches of each column, by its heading."""
    mixed = {
        f"{size} as they come": [list(texts[start : start + size]) for start in range(0, len(texts), size)]
        for size in _BATCHES
    }
    equal = {f"{size} of one length": [[text] * size for text in texts[::_ONE_LENGTH_STEP]] for size in _BATCHES}
    # The same every fourth chat, so that batches of one length have a figure to compare with.
    alone = {"every fourth, one by one": [[text] for text in texts[::_ONE_LENGTH_STEP]]}
    return {"one by one": [[text] for text in texts], **mixed, **alone, **equal}


def measure(
    variants: Mapping[str, Embedder], columns: Mapping[str, Batches], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of processor for a text, by column, embedder and round."""
    spent: dict[str, dict[str, list[float]]] = {column: {name: [] for name in variants} for column in columns}
    for _ in range(rounds):
        for column, batches in columns.items():
            for name, embedder in variants.items():
                before = time.process_time()
                for batch in batches:
                    embedder.embed(batch)
                count = sum(map(len, batches))
                spent[column][name].append(1000 * (time.process_time() - before) / count)
    return spent


def print_likeness(vectors: Mapping[str, Vector], spent: Mapping[str, list[float]]) -> None:
    print("| embedder | cosine to the exact one, mean | minimum | ms of CPU a text | minimum to maximum |")
    print("|---|---|---|---|---|")
    for name, found in vectors.items():
        alike, elapsed_ms = (found * vectors["exact"]).sum(axis=1), spent[name]
        spread = f"{min(elapsed_ms):.2f} to {max(elapsed_ms):.2f}"
        print(f"| {name} | {alike.mean():.4f} | {alike.min():.4f} | {median(elapsed_ms):.2f} | {spread} |")


def print_batches(spent: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Both engines, and their ratio round by round."""
    print(f"\n| batch | {_MINILM} | {_CONVERTED} | ratio | minimum to maximum |\n|---|---|---|---|---|")
    for column, by_name in spent.items():
        graph, converted = by_name[_MINILM], by_name[_CONVERTED]
        ratios = [new / old for new, old in zip(converted, graph, strict=True)]
        print(
            f"| {column} | {median(graph):.2f} | {median(converted):.2f} | {median(ratios):.2f} "
            f"| {min(ratios):.2f} to {max(ratios):.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    texts = [f"{text} (ticket {number})" for number, text in enumerate(chat_texts())]
    print(f"machine: {describe()}")
    with embedders(load().models_path) as variants:
        vectors = {name: embedder.embed(texts) for name, embedder in variants.items()}
        columns = loads(texts)
        single = {"one by one": columns.pop("one by one")}
        spent = measure(variants, single, arguments.rounds)
        engines = {name: variants[name] for name in (_MINILM, _CONVERTED)}
        batched = measure(engines, columns, arguments.rounds)
    print_likeness(vectors, spent["one by one"])
    print_batches(spent | batched)


if __name__ == "__main__":
    main()
