"""Measures a search over 100,000 passages: by the number of collections, and of a matrix in the search process.

    python -m benchmarks.index_search [--passages 100000] [--collections 16,4,1] [--searches 200]

Passages lie around 500 topics, as texts of a support desk do, in 384 dimensions; 1,000 subjects. *Chroma* is the
product's search over a server of its own. *Matrix* is one product of all vectors with the question by numpy, as float32
or as int8 with a scale for each vector, of which the best 100 are scored again exactly. *Likeness* is the share of the
ten nearest that are found. Processor is that of this process and the server.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.backlogs import forged
from benchmarks.incremental import chroma_server
from benchmarks.machine import cpu_seconds, describe, resident_bytes
from mmplatform.artifacts import Vector
from mmplatform.buckets import BUCKET_NAMES, bucket_number, collection_name
from mmplatform.events import utc_now
from mmplatform.land.index.row_codec import passage_metadata
from mmplatform.land.index.store import ChromaIndex

K: Final = 10
EMBEDDER: Final = "bench@1"
DIMENSIONS: Final = 384
_TOPICS: Final = 500
_SUBJECTS: Final = 1_000
SUBJECT: Final = 7
"""The one of whom searches of one subject are."""

_RESCORED: Final = 100
_WRITTEN: Final = 500
_BLOCK: Final = 8_192
_SPREAD: Final = 0.06

Int8 = npt.NDArray[np.int8]
Find = Callable[[Vector], Sequence[int]]


def unit_vectors(count: int, seed: int) -> Vector:
    """Unit vectors around the topics, shape ``(count, 384)``."""
    topics = np.random.default_rng(0).standard_normal((_TOPICS, DIMENSIONS))
    topics /= np.linalg.norm(topics, axis=1, keepdims=True)
    chance = np.random.default_rng(seed)
    rows = topics[chance.integers(_TOPICS, size=count)] + _SPREAD * chance.standard_normal((count, DIMENSIONS))
    units: Vector = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units


class Int8Matrix:
    """All vectors as int8 with a scale each; the best are scored again by the exact ones."""

    def __init__(self, vectors: Vector) -> None:
        self._exact = vectors
        self._scales = np.abs(vectors).max(axis=1) / 127
        self.rows: Int8 = np.rint(vectors / self._scales[:, None]).astype(np.int8)

    def nearest(self, question: Vector) -> Sequence[int]:
        """Numbers of the nearest, best first."""
        scores = np.empty(len(self.rows), dtype=np.float32)
        for start in range(0, len(self.rows), _BLOCK):  # numpy multiplies integers without BLAS: ten times slower
            block = self.rows[start : start + _BLOCK].astype(np.float32)
            scores[start : start + _BLOCK] = block @ question
        best = np.argpartition(-scores * self._scales, _RESCORED)[:_RESCORED]
        return _best(best, self._exact[best] @ question)


def float_matrix(vectors: Vector) -> Find:
    """Search by one product of float32."""

    def nearest(question: Vector) -> Sequence[int]:
        scores = vectors @ question
        count = min(K, len(scores))
        best = np.argpartition(-scores, count - 1)[:count]
        return _best(best, scores[best])

    return nearest


def _best(numbers: npt.NDArray[np.intp], scores: Vector) -> Sequence[int]:
    found: list[int] = numbers[np.argsort(-scores)][:K].tolist()
    return found


class Measured:
    """Searches one after the other: milliseconds of each, processor of all, and what they found.

    Args:
        find: a search.
        questions: shape ``(searches, 384)``.
        server: process whose processor counts beside this one's; 0: none.
    """

    def __init__(self, find: Find, questions: Vector, server: int = 0) -> None:
        for question in questions[:5]:
            find(question)
        self.found, self.milliseconds = [], []
        used = time.process_time() + (cpu_seconds(server) if server else 0)
        for question in questions:
            started = time.perf_counter()
            self.found.append(set(find(question)))
            self.milliseconds.append(1000 * (time.perf_counter() - started))
        used = time.process_time() + (cpu_seconds(server) if server else 0) - used
        self.processor = 1000 * used / len(questions)

    def line(self, name: str, truth: Sequence[set[int]], memory: float) -> str:
        """Row of the table; ``memory`` in MB."""
        p50, p99 = np.quantile(self.milliseconds, (0.5, 0.99))
        shared = [len(found & nearest) / len(nearest) for found, nearest in zip(self.found, truth, strict=True)]
        likeness = float(np.mean(shared))
        return f"| {name} | {self.processor:.1f} | {p50:.1f} | {p99:.1f} | {likeness:.3f} | {memory:.0f} |"


def fill(index: ChromaIndex, vectors: Vector, collections: int) -> None:
    """Write all passages to so many collections by their subject; the id of each is its number."""
    (template,) = forged(0, 1, EMBEDDER)
    fields = passage_metadata(template, utc_now())
    groups: dict[str, list[int]] = {}
    for number in range(len(vectors)):
        bucket = BUCKET_NAMES[bucket_number(f"subject-{number % _SUBJECTS}") % collections]
        groups.setdefault(bucket, []).append(number)
    for bucket, numbers in groups.items():
        for start in range(0, len(numbers), _WRITTEN):
            rows = numbers[start : start + _WRITTEN]
            write = methodcaller(
                "upsert",
                ids=[str(number) for number in rows],
                embeddings=vectors[rows],
                metadatas=[{**fields, "subject_key": f"subject-{number % _SUBJECTS}"} for number in rows],
                documents=[template.text] * len(rows),
            )
            metadata = {"embedder": EMBEDDER, "bucket": bucket}
            index.with_collection(collection_name(EMBEDDER, bucket), "fill", write, metadata)


def chroma_lines(
    vectors: Vector, questions: Vector, truth: Mapping[str, Sequence[set[int]]], collections: int
) -> list[str]:
    """Rows of the table for one number of collections, after all were written."""
    with tempfile.TemporaryDirectory() as folder, chroma_server(Path(folder)) as (settings, server):
        index = ChromaIndex.open(settings)
        fill(index, vectors, collections)

        def everybody(question: Vector) -> Sequence[int]:
            return [int(hit.passage_id) for hit in index.search(question, embedder=EMBEDDER, k=K)]

        def subject(question: Vector) -> Sequence[int]:
            hits = index.search(question, embedder=EMBEDDER, subject=f"subject-{SUBJECT}", k=K)
            return [int(hit.passage_id) for hit in hits]

        found = [(name, Measured(find, questions, server)) for name, find in (("all", everybody), ("one", subject))]
        memory = resident_bytes([server]) / 1e6
        index.close()
    return [row.line(f"{name}: Chroma, {collections}", truth[name], memory) for name, row in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--collections", default="16,4,1")
    parser.add_argument("--searches", type=int, default=200)
    arguments = parser.parse_args()
    print(f"machine: {describe()}")
    vectors, questions = unit_vectors(arguments.passages, 1), unit_vectors(arguments.searches, 2)
    matrix = Int8Matrix(vectors)
    own = np.arange(SUBJECT, len(vectors), _SUBJECTS)
    single = Measured(lambda question: [int(own[n]) for n in float_matrix(vectors[own])(question)], questions)
    exact = Measured(float_matrix(vectors), questions)
    truth = {"all": exact.found, "one": single.found}
    print("| search | processor, ms | p50, ms | p99, ms | likeness | memory, MB |\n|---|---|---|---|---|---|")
    print(exact.line("all: matrix, float32", exact.found, vectors.nbytes / 1e6))
    print(Measured(matrix.nearest, questions).line("all: matrix, int8", exact.found, matrix.rows.nbytes / 1e6))
    print(single.line("one: matrix, float32", single.found, vectors.nbytes / 1e6), flush=True)
    for collections in map(int, filter(None, arguments.collections.split(","))):
        for line in chroma_lines(vectors, questions, truth, collections):
            print(line, flush=True)


if __name__ == "__main__":
    main()
