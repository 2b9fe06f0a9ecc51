"""A text embedder without a model: the same text has the same direction, other texts have others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmplatform.artifacts import Vector
from tests.land.records import EMBEDDER, unit_vector


class SeededEmbedder:
    """Makes the vectors of :func:`tests.land.records.passage`; remembers what it was asked."""

    name, version = EMBEDDER.split("@")
    dimensions = 8

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vector:
        self.asked += texts
        return np.stack([unit_vector(text) for text in texts])
