"""Dual-write index: writes each passage to the collections of every active embedder.

The indexer and the index rebuild write through here. With one serving space alone, this costs two requests to Chroma
(0.7 ms each) for each batch beside the write, and loads no model: passages come with the vectors of their own
embedder. A vector of another space is computed here, by a model that is loaded when the first one is needed.

1. Read the revision, so that nothing is written to a retired space.
2. Write to its spaces, the serving one first. A model may run before the secondary is written, and a passage may be
   retracted in that time: a passage that the serving space no longer has is not left in the secondary.
3. Read the revision again; when it is another one, write by that too.

A vector of another length than its embedder makes is refused before anything is written: Chroma would accept it in an
empty collection, and refuse every correct vector from then on.

A publisher of a candidate can rely on this: passages acknowledged earlier are in the serving space; passages
acknowledged later are in the candidate as well, or the revision is flagged as lacking. No clock or wait is involved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from mmplatform.artifacts import Passage, Retraction, pack_vector
from mmplatform.buckets import bucket_name
from mmplatform.derive.passages import embed
from mmplatform.errors import Rejected, Unavailable
from mmplatform.land.index.embedder_registry import EmbedderRevision, Space
from mmplatform.land.index.store import UPSERT_ROWS
from mmplatform.ports import Embedder, Memo

_log = structlog.get_logger(__name__)


class DualWriteTarget(Protocol):
    """The index below: one collection for each space and bucket."""

    @property
    def tombstones(self) -> RetractionStore:
        """Versions of retractions, which every upsert respects."""

    def upsert(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Make findable. Raises Rejected, Unavailable."""

    def restamp(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Correct ``indexed_at``. Raises Unavailable."""

    def get(self, embedder: str, bucket: str, ids: Sequence[str]) -> Mapping[str, object]:
        """The rows of one space that exist, by id. Raises Unavailable."""

    def delete(
        self,
        ids: Sequence[str],
        *,
        bucket: str | None = None,
        embedder: str | None = None,
        through: Mapping[str, str] | None = None,
    ) -> None:
        """Delete. Raises Unavailable."""


class RetractionStore(Protocol):
    """Stores versions of retractions."""

    def add(self, retractions: Sequence[Retraction], now: datetime) -> None:
        """Store. Raises Unavailable."""

    def forget(self) -> None:
        """Read them again at the next use."""


class RevisionLog(Protocol):
    """The revisions of the active spaces."""

    def latest(self) -> EmbedderRevision | None:
        """The newest revision."""

    def flag_lacking(self, base: EmbedderRevision) -> None:
        """Record that the secondary space misses passages."""


class DualWriteIndex:
    """Writes passages to every active space. For one thread.

    Args:
        index: the store.
        registry: gives the active spaces; without a revision each passage goes into its own embedder's space.
        open_embedder: loads a model; Misconfigured where it is missing.
        open_memo: opens the memo of vectors.
        vector_length: the dimensions of a space's vectors, given an observed length; ``None`` where its model is not on
            this machine, and then the index alone decides.
    """

    def __init__(
        self,
        index: DualWriteTarget,
        registry: RevisionLog,
        open_embedder: Callable[[Space], Embedder],
        open_memo: Callable[[], Memo],
        vector_length: Callable[[Space, int], int | None] = lambda _space, _observed: None,
    ) -> None:
        self._index = index
        self._registry = registry
        self._open_embedder = open_embedder
        self._open_memo = open_memo
        self._vector_length = vector_length
        self._vector_lengths: dict[str, int | None] = {}
        self._memo: Memo | None = None
        self._embedders: dict[str, Embedder] = {}
        self._logged_revision = 0

    def latest_revision(self) -> EmbedderRevision | None:
        """The newest revision; models of inactive spaces are dropped. Raises Unavailable."""
        revision = self._registry.latest()
        active = {space.name for space in revision.active} if revision else set[str]()
        self._embedders = {name: model for name, model in self._embedders.items() if name in active}
        return revision

    def upsert(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Make findable in every active space.

        The secondary space never blocks the serving one: a failed write to it is logged and flagged in the revision.

        Raises:
            Unavailable: the index does not answer.
            Rejected: a vector is not of its embedder's length, or the serving space refuses a row.
            Misconfigured: the serving space's model is needed and missing.
        """
        # 1.
        revision = self.latest_revision()
        self._check_vectors(revision, passages)
        while True:
            # 2.
            self._write(revision, passages, indexed_at)
            # 3.
            newer = self.latest_revision()
            if (newer and newer.revision) == (revision and revision.revision):
                return
            revision = newer

    def _check_vectors(self, revision: EmbedderRevision | None, passages: Sequence[Passage]) -> None:
        """Raise Rejected for a vector that its embedder cannot have made: of another length, or all zeros."""
        if not all(passage.vector.any() for passage in passages):
            raise Rejected("a vector of zeros, to which nothing is near")
        for space in revision.active if revision else ():
            for length in {len(passage.vector) for passage in passages if passage.embedder == space.name}:
                if space.name not in self._vector_lengths:
                    self._vector_lengths[space.name] = self._vector_length(space, length)
                expected = self._vector_lengths[space.name]
                if expected not in {None, length}:
                    raise Rejected(f"a vector of {length} parts, where {space.name} makes {expected}")

    def restamp(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Correct ``indexed_at`` in every active space. Raises Unavailable."""
        revision = self.latest_revision()
        names = [space.name for space in revision.active] if revision else []
        self._index.restamp(passages, indexed_at)
        for name in names:
            others = [passage for passage in passages if passage.embedder != name]
            self._index.restamp([passage.model_copy(update={"embedder": name}) for passage in others], indexed_at)

    def forget_retractions(self) -> None:
        """Read the stored retractions again at the next write: topic partitions have come from another writer."""
        self._index.tombstones.forget()

    def retract(self, retractions: Sequence[Retraction], now: datetime) -> None:
        """Delete passages from every space, the serving one first, as :meth:`upsert` writes. Raises Unavailable.

        The tombstones are stored first: after a crash the deletion is repeated, and no older passage comes back. A copy
        from the serving space that runs meanwhile either misses the row, or has its copy deleted afterwards.
        """
        if not retractions:
            return
        self._index.tombstones.add(retractions, now)
        buckets: dict[str, dict[str, str]] = {}
        for retraction in sorted(retractions, key=lambda retraction: retraction.version):
            versions = buckets.setdefault(bucket_name(retraction.subject_key), {})
            versions[retraction.artifact_id] = retraction.version.sortable
        for bucket, versions in buckets.items():
            self._delete(versions, bucket)

    def _delete(self, versions: Mapping[str, str], bucket: str) -> None:
        ids = list(versions)
        revision = self.latest_revision()
        while True:
            if revision is not None and revision.secondary is not None:
                self._index.delete(ids, bucket=bucket, embedder=revision.serving.name, through=versions)
            self._index.delete(ids, bucket=bucket, through=versions)
            newer = self.latest_revision()
            if (newer and newer.revision) == (revision and revision.revision):
                return
            revision = newer

    def _write(self, revision: EmbedderRevision | None, passages: Sequence[Passage], indexed_at: datetime) -> None:
        if revision is None:
            self._index.upsert(passages, indexed_at)
            return
        self._index.upsert(self._embed_for(revision.serving, passages), indexed_at)
        if revision.secondary is None:
            return
        try:
            rows = self._embed_for(revision.secondary, passages)
            for start in range(0, len(rows), UPSERT_ROWS):
                self._write_secondary(revision, revision.secondary, rows[start : start + UPSERT_ROWS], indexed_at)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever fails in the secondary's model, search goes on
            if self._logged_revision != revision.revision:
                _log.error(
                    "not indexed for the secondary embedder", space=revision.secondary.name, error=type(error).__name__
                )
            self._logged_revision = revision.revision
            self._registry.flag_lacking(revision)

    def _write_secondary(
        self, revision: EmbedderRevision, secondary: Space, rows: Sequence[Passage], indexed_at: datetime
    ) -> None:
        """Write rows to the secondary space, except those deleted from the serving one since they were written.

        Checked before and after the write: a retraction deletes from the serving space first. The first check leaves
        only the write itself as the window in which the end of this process does damage.
        """
        missing = {row_id for ids in self._missing_ids(revision, rows).values() for row_id in ids}
        rows = [row for row in rows if row.artifact_id not in missing]
        try:
            self._index.upsert(rows, indexed_at)
        finally:  # a refused batch may have been written in part
            for bucket, ids in self._missing_ids(revision, rows).items():
                self._index.delete(ids, bucket=bucket, embedder=secondary.name)
                if self._index.get(revision.serving.name, bucket, ids):
                    # Another writer landed it again at this very time, and its row may be the one deleted here.
                    self._registry.flag_lacking(revision)

    def _missing_ids(self, revision: EmbedderRevision, rows: Sequence[Passage]) -> dict[str, list[str]]:
        """Ids of the rows that the serving space does not have, by bucket."""
        buckets: dict[str, list[str]] = {}
        for row in rows:
            buckets.setdefault(bucket_name(row.subject_key), []).append(row.artifact_id)
        missing = {}
        for bucket, ids in buckets.items():
            present = self._index.get(revision.serving.name, bucket, ids)
            if absent := [row_id for row_id in ids if row_id not in present]:
                missing[bucket] = absent
        return missing

    def _embed_for(self, space: Space, passages: Sequence[Passage]) -> list[Passage]:
        """The passages with the vectors of that space."""
        others = [passage for passage in passages if passage.embedder != space.name]
        if not others:
            return list(passages)
        embeddings = embed([passage.text for passage in others], self._embedder(space), self._opened_memo())
        embedded = {
            id(passage): passage.model_copy(
                update={"embedder": space.name, "vector_f32": pack_vector(embedding.vector)}
            )
            for passage, embedding in zip(others, embeddings, strict=True)
        }
        return [embedded.get(id(passage), passage) for passage in passages]

    def _embedder(self, space: Space) -> Embedder:
        if space.name not in self._embedders:
            _log.info("loads a second embedder", space=space.name)
            self._embedders[space.name] = self._open_embedder(space)
        return self._embedders[space.name]

    def _opened_memo(self) -> Memo:
        if self._memo is None:
            self._memo = self._open_memo()
        return self._memo
