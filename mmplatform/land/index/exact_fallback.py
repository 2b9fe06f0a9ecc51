"""The nearest rows of one person, also those that Chroma's graph does not lead to.

A search walks a graph of neighbours and keeps what the filter lets through. Seen in 1.5.9 after the server had been
started again: a row that ``get`` returned, also by the same filter, was on no walk's way, so no question found it. One
person has few rows. So where a person's search comes back short, what it left out is fetched and compared one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mmplatform.artifacts import Vector

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

MOST_LEFT_OUT: Final = 1000
"""Rows that are fetched for one search at most: 1,000 vectors are 1.5 MB."""


class Near(NamedTuple):
    """A row and how near it is: cosine similarity."""

    row_id: str
    text: str
    score: float
    metadata: Mapping[str, Any]


def walked(collection: Collection, *, vector: Vector, k: int, asked: Mapping[str, Any] | None) -> list[Near]:
    """The ``k`` nearest rows that the graph leads to."""
    found: Any = collection.query(
        query_embeddings=np.stack([vector]),
        n_results=k,
        where=asked,  # type: ignore[arg-type]
        include=["documents", "metadatas", "distances"],
    )
    parts = (found[part][0] for part in ("ids", "documents", "distances", "metadatas"))
    return [Near(each, text, 1.0 - distance, metadata) for each, text, distance, metadata in zip(*parts, strict=True)]


def whole(collection: Collection, *, vector: Vector, k: int, asked: Mapping[str, Any] | None) -> list[Near]:
    """The same, and where there are fewer than ``k`` of them, the rows that the graph does not lead to.

    The look for them costs one call that reads ids only, and a second one when there are such rows.
    """
    found = walked(collection, vector=vector, k=k, asked=asked)
    if len(found) >= k:
        return found
    there = collection.get(where=asked, limit=k + MOST_LEFT_OUT, include=[])["ids"]  # type: ignore[arg-type]
    left_out = sorted(set(there).difference(row.row_id for row in found))[:MOST_LEFT_OUT]
    return found + _compared(collection, vector, left_out) if left_out else found


def _compared(collection: Collection, vector: Vector, ids: list[str]) -> list[Near]:
    rows: Any = collection.get(ids=ids, include=["documents", "metadatas", "embeddings"])
    if not rows["ids"]:  # deleted meanwhile
        return []
    theirs = np.asarray(rows["embeddings"], dtype=np.float32)
    lengths = np.linalg.norm(theirs, axis=1) * np.linalg.norm(vector)
    scores = theirs @ vector / np.where(lengths == 0, 1.0, lengths)
    parts = zip(rows["ids"], rows["documents"], scores, rows["metadatas"], strict=True)
    return [Near(each, text, float(score), metadata) for each, text, score, metadata in parts]
