"""Nearest rows of one subject: Chroma's approximate search (ANN) with an exact fallback for rows that it misses.

ANN search walks a graph of neighbours and keeps rows that pass the filter. Seen in 1.5.9 after a restart of the server:
no walk reached a row that ``get`` returned with the same filter, so no query found it. One subject has few rows. So
where a subject's search returns fewer than ``k``, the missed rows are fetched and scored one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mmplatform.artifacts import Vector
from mmplatform.land.index.chroma_client import InterruptedCall

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

MAX_EXACT_ROWS: Final = 1000
"""Rows fetched for one search: 1,000 vectors are 1.5 MB."""


class ScoredRow(NamedTuple):
    """A row with its score: the cosine similarity."""

    row_id: str
    text: str
    score: float
    metadata: Mapping[str, Any]


def ann_search(collection: Collection, *, vector: Vector, k: int, where: Mapping[str, Any] | None) -> list[ScoredRow]:
    """The ``k`` nearest rows that the graph reaches."""
    found: Any = collection.query(
        query_embeddings=np.stack([vector]),
        n_results=k,
        where=where,  # type: ignore[arg-type]
        include=["documents", "metadatas", "distances"],
    )
    if None in found["metadatas"][0]:
        raise InterruptedCall("index: cannot search: rows were deleted during the search")
    parts = (found[part][0] for part in ("ids", "documents", "distances", "metadatas"))
    return [
        ScoredRow(row_id, text, 1.0 - distance, metadata)
        for row_id, text, distance, metadata in zip(*parts, strict=True)
    ]


def search_with_exact_fallback(
    collection: Collection, *, vector: Vector, k: int, where: Mapping[str, Any] | None
) -> list[ScoredRow]:
    """The same; where there are fewer than ``k``, also the rows that the graph does not reach.

    To find them costs one call that reads ids only, and a second one when there are such rows.
    """
    found = ann_search(collection, vector=vector, k=k, where=where)
    if len(found) >= k:
        return found
    matching_ids = collection.get(where=where, limit=k + MAX_EXACT_ROWS, include=[])["ids"]  # type: ignore[arg-type]
    missed_ids = sorted(set(matching_ids).difference(row.row_id for row in found))[:MAX_EXACT_ROWS]
    return found + _score_exactly(collection, vector, missed_ids) if missed_ids else found


def _score_exactly(collection: Collection, vector: Vector, ids: list[str]) -> list[ScoredRow]:
    rows: Any = collection.get(ids=ids, include=["documents", "metadatas", "embeddings"])
    if not rows["ids"]:  # deleted meanwhile
        return []
    vectors = np.asarray(rows["embeddings"], dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
    scores = vectors @ vector / np.where(lengths == 0, 1.0, lengths)
    parts = zip(rows["ids"], rows["documents"], scores, rows["metadatas"], strict=True)
    return [ScoredRow(row_id, text, float(score), metadata) for row_id, text, score, metadata in parts]
