"""Overlay: the index's rows and the tail's, as one ranking.

The rules, whatever store the index is in:

* Of two versions of one id the higher counts; a retraction of the tail hides the row it retracts.
* The tail's snapshot comes before the index's answer: what leaves the tail meanwhile is in the answer already.
* The index is asked for more rows as long as the tail hides some of them.
* A passage of the tail that was published behind a newer one is compared with the index before it is shown; while the
  tail is behind, each is.
* Best score first, then by id. A store computes its scores in float32, so that ties hold to six decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, Protocol

from mmplatform.artifacts import Passage, Vector
from mmplatform.errors import Unavailable
from mmplatform.events import Modality
from mmplatform.land.index.newest_versions import StoredVersion
from mmplatform.land.index.row_codec import Hit, passage_metadata, row_to_hit
from mmplatform.retrieve.tail.tail import Scope, Tail, TailHit, TailSnapshot

MAX_CANDIDATES: Final = 1_000
"""Rows of the index for one search. With more that the tail hides, an answer may have fewer hits than asked for."""

MAX_COMPARED: Final = 200
"""Passages of the tail that are compared with the index beyond those of the answer."""


class SearchableIndex(Protocol):
    """Queries of search to the hot index."""

    def search(
        self,
        vector: Vector,
        *,
        embedder: str,
        subject: str | None = None,
        tenant: str | None = None,
        modalities: Sequence[Modality] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        k: int = 10,
    ) -> list[Hit]:
        """The nearest passages, best first. Raises Unavailable."""


NewestVersions = Callable[[str, Sequence[Passage]], Mapping[str, StoredVersion]]
"""Versions that the index has, of rows of an embedder and of retractions, by id. Raises Unavailable."""


class FoundPassage(NamedTuple):
    """A hit, where it was found, and since when it was in reach."""

    hit: Hit
    in_tail: bool
    retrievable_at: datetime


class Findings(NamedTuple):
    """Hits of one search, best first; ``index_answered`` is false when they are of the tail alone."""

    found: list[FoundPassage]
    index_answered: bool


class Query(NamedTuple):
    """A question in one embedder's space.

    Attributes:
        vector: its embedding, shape ``(dimensions,)``.
        embedder: ``name@version`` that made it.
        embed: embeds texts with the same model.
        k: the maximum of hits.
    """

    vector: Vector
    embedder: str
    embed: Callable[[Sequence[str]], Vector]
    k: int


class Overlay:
    """The index under its tail. Thread-safe when the index is."""

    def __init__(self, index: SearchableIndex, tail: Tail, newest_versions: NewestVersions) -> None:
        self._index = index
        self._tail = tail
        self._newest_versions = newest_versions

    def search(
        self, query: Query, scope: Scope, *, tail_is_current: bool = True, index_optional: bool = False
    ) -> Findings:
        """The nearest passages of both, best first.

        Args:
            query: the question.
            scope: filters.
            tail_is_current: false: the index may be ahead of the tail, so that all its passages are compared with it.
            index_optional: answer from the tail alone while the index does not answer.

        Raises:
            Unavailable: the index does not answer, and is not optional.
        """
        checked: set[tuple[str, str]] = set()
        while True:
            snapshot = self._tail.snapshot(query.vector, scope, embedder=query.embedder, embed=query.embed)
            try:
                rows = self._rows(query, scope, snapshot.masks)
                merged = _merge(rows, snapshot, query.k)
                shown = [hit for hit in merged if isinstance(hit, TailHit)]
                open_hits = [
                    hit for hit in shown if not (hit.in_order and tail_is_current) and _key(hit) not in checked
                ]
                if not open_hits:
                    return Findings([self._found(hit) for hit in merged], index_answered=True)
                # With those of this page some more, so that a few rounds are enough.
                checked.update(map(_key, open_hits))
                more = [hit for hit in snapshot.hits if not hit.in_order and _key(hit) not in checked][:MAX_COMPARED]
                checked.update(map(_key, more))
                open_hits += more
                self._settle(query.embedder, open_hits)
            except Unavailable:
                if not index_optional:
                    raise
                in_order = [hit for hit in snapshot.hits if hit.in_order][: query.k]
                return Findings([self._found(hit) for hit in in_order], index_answered=False)

    def _rows(self, query: Query, scope: Scope, masks: Mapping[str, StoredVersion]) -> list[Hit]:
        """The index's nearest rows that the tail does not hide, at most ``k``."""
        limit = query.k
        while True:
            rows = self._query_index(query, scope, limit)
            visible = [row for row in rows if not _is_hidden(row, masks)]
            if len(visible) >= query.k or len(rows) < limit or limit >= MAX_CANDIDATES:
                return visible[: query.k]
            limit = min(2 * limit, MAX_CANDIDATES)

    def _query_index(self, query: Query, scope: Scope, limit: int) -> list[Hit]:
        search = partial(
            self._index.search,
            query.vector,
            embedder=query.embedder,
            subject=scope.subject,
            modalities=scope.modalities,
            since=scope.since,
            until=scope.until,
            k=limit,
        )
        rows = search()
        if all(row.tenant == scope.tenant for row in rows):
            return rows
        # Only then: a filter makes Chroma read the metadata of every row, and an index with one tenant needs none.
        return search(tenant=scope.tenant)

    def _settle(self, embedder: str, hits: Sequence[TailHit]) -> None:
        """Compare passages with the index that are not in order; those that are out of date leave the tail."""
        stored = self._newest_versions(embedder, [hit.passage for hit in hits])
        self._tail.settle(stored, {hit.passage.artifact_id: hit.version for hit in hits})

    def _found(self, hit: Hit | TailHit) -> FoundPassage:
        if isinstance(hit, TailHit):
            passage = hit.passage
            metadata = passage_metadata(passage, hit.applied_at)
            return FoundPassage(
                row_to_hit(passage.artifact_id, passage.text, hit.score, metadata), True, hit.applied_at
            )
        applied_at = self._tail.applied_at(hit.passage_id, hit.version)
        retrievable_at = min(applied_at, hit.indexed_at) if applied_at else hit.indexed_at
        return FoundPassage(hit, in_tail=False, retrievable_at=retrievable_at)


def _key(hit: TailHit) -> tuple[str, str]:
    return hit.passage.artifact_id, hit.version


def _is_hidden(row: Hit, masks: Mapping[str, StoredVersion]) -> bool:
    mask = masks.get(row.passage_id)
    return mask is not None and mask.outdates(row.version)


def _merge(rows: Sequence[Hit], snapshot: TailSnapshot, k: int) -> list[Hit | TailHit]:
    """One ranking of both; of a passage that both have in the same version, the index's row."""
    indexed = {row.passage_id for row in rows}
    fresh = [hit for hit in snapshot.hits if hit.passage.artifact_id not in indexed]
    merged: list[Hit | TailHit] = [*rows, *fresh]
    return sorted(merged, key=_rank)[:k]


def _rank(hit: Hit | TailHit) -> tuple[float, str]:
    row_id = hit.passage.artifact_id if isinstance(hit, TailHit) else hit.passage_id
    return -round(hit.score, 6), row_id
