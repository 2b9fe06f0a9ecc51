"""Hot vector index: passages in Chroma, one collection per bucket of subjects and per embedder.

The indexer upserts and deletes, search queries, reports count. A query about one subject touches one collection, an
erasure rebuilds one, and a new embedder gets collections of its own. Of two writes of one ``artifact_id`` the higher
version stays, whichever comes last. After ``upsert`` returns, its rows are on the server's disk and a search has found
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog

from mmplatform.artifacts import Passage, Vector
from mmplatform.buckets import (
    BUCKET_NAMES,
    bucket_name,
    collection_name,
    collection_prefix,
    is_passage_collection,
)
from mmplatform.events import Modality
from mmplatform.land.index.chroma_client import chroma_errors
from mmplatform.land.index.chroma_collections import PAGE_ROWS, ChromaCollections, delete_present, tune
from mmplatform.land.index.exact_fallback import ann_search, search_with_exact_fallback
from mmplatform.land.index.row_codec import (
    Hit,
    IndexRow,
    PassageStamps,
    passage_metadata,
    row_to_hit,
    row_to_stamps,
    where_filter,
)
from mmplatform.land.index.tombstones import Tombstones
from mmplatform.settings import Settings
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

_log = structlog.get_logger(__name__)
_MAX_VERIFICATIONS: Final = 3
UPSERT_ROWS: Final = 200


class ChromaIndex(ChromaCollections):
    """Passages on a Chroma server; thread-safe. Every method raises what :class:`ChromaCollections` raises."""

    def create_collections(self, embedder: str) -> None:
        """Create the collections of an embedder (``name@version``), so that no first passage has to wait."""
        for bucket in BUCKET_NAMES:
            metadata = {"embedder": embedder, "bucket": bucket}
            self.with_collection(collection_name(embedder, bucket), "create a collection", tune, metadata)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.tombstones = Tombstones(self)

    def upsert(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Make the passages findable, but those of which the index has a version or a retraction that is as high.

        Raises:
            Rejected: a vector has another number of dimensions than its collection.
        """
        groups: dict[tuple[str, str], dict[str, Passage]] = {}
        for passage in passages:
            group = groups.setdefault((passage.embedder, bucket_name(passage.subject_key)), {})
            first = group.get(passage.artifact_id)
            if first is None or passage.version > first.version:
                group[passage.artifact_id] = passage
        retracted = self.tombstones.versions()
        for (embedder, bucket), group in groups.items():
            stored = self.versions(embedder, bucket, list(group))
            rows = [
                IndexRow(row_id, row.text, passage_metadata(row, indexed_at), row.vector)
                for row_id, row in group.items()
                if row.version.sortable > max(stored.get(row_id, NO_VERSION), retracted.get(row_id, NO_VERSION))
            ]
            self.upsert_rows(embedder, bucket, rows)

    def restamp(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Correct the time at which passages became findable: the index took longer than the stamp tells.

        Rows of another version are left: another writer wrote them, or they were there before.
        """
        groups: dict[tuple[str, str], dict[str, str]] = {}
        for passage in passages:
            group = groups.setdefault((passage.embedder, bucket_name(passage.subject_key)), {})
            group[passage.artifact_id] = passage.version.sortable
        for (embedder, bucket), versions in groups.items():
            stored = self.versions(embedder, bucket, list(versions))
            ids = [row_id for row_id, version in versions.items() if stored.get(row_id) == version]
            if ids:
                stamps = [{"indexed_at": indexed_at.isoformat()}] * len(ids)
                name, update = collection_name(embedder, bucket), methodcaller("update", ids=ids, metadatas=stamps)
                self.with_collection(name, "correct stamps", update)

    def versions(self, embedder: str, bucket: str, ids: Sequence[str]) -> dict[str, str]:
        """Sortable versions of the rows that one collection has, by id."""
        query = methodcaller("get", ids=list(ids), include=["metadatas"])
        found = self.with_collection(collection_name(embedder, bucket), "read versions", query) if ids else None
        if found is None:
            return {}
        return {
            row_id: str(metadata.get("version", NO_VERSION))
            for row_id, metadata in zip(found["ids"], found["metadatas"], strict=True)
        }

    def upsert_rows(self, embedder: str, bucket: str, rows: Sequence[IndexRow]) -> None:
        """Upsert rows of one collection, unchanged. Raises as :meth:`upsert`."""
        for start in range(0, len(rows), UPSERT_ROWS):
            self._upsert_verified(embedder, bucket, rows[start : start + UPSERT_ROWS])

    def _upsert_verified(self, embedder: str, bucket: str, rows: Sequence[IndexRow]) -> None:
        """Write, and verify that every row is findable: now and then Chroma stores a row and omits it from its graph.

        Seen in 1.5.9, once in 2,200 rows, at the third row of a new collection while others searched it: ``get`` by id
        returned the row, no search did. Written again, it was found.
        """

        def write(collection: Collection) -> None:
            collection.upsert(
                ids=[row.artifact_id for row in rows],
                embeddings=np.stack([row.vector for row in rows]),
                metadatas=[dict(row.metadata) for row in rows],
                documents=[row.text for row in rows],
            )

        metadata = {"embedder": embedder, "bucket": bucket}
        name, action = collection_name(embedder, bucket), f"upsert {len(rows)} passages"
        self.with_collection(name, action, write, metadata)
        for _ in range(_MAX_VERIFICATIONS):
            missing = self.with_collection(name, "verify that passages are findable", partial(find_missing, rows=rows))
            if not missing:
                return
            _log.warning("passages not findable after the upsert: upserted again", collection=name, passages=missing)
            rows = [row for row in rows if row.artifact_id in missing]
            self.with_collection(name, action, write, metadata)
        _log.error("passages still not findable", collection=name, passages=[row.artifact_id for row in rows])

    def get(self, embedder: str, bucket: str, ids: Sequence[str]) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Text and metadata by id, for the ids that one collection has."""
        query = methodcaller("get", ids=list(ids), include=["documents", "metadatas"])
        found = self.with_collection(collection_name(embedder, bucket), "get passages", query) if ids else None
        if found is None:
            return {}
        rows = zip(found["ids"], found["documents"], found["metadatas"], strict=True)
        return {row_id: (text, metadata) for row_id, text, metadata in rows}

    def embedders(self) -> set[str]:
        """``name@version`` of every embedder that has collections on this server."""
        return {
            str((collection.metadata or {}).get("embedder"))
            for collection in self.list_collections()
            if is_passage_collection(collection.name)
        }

    def drop_embedder(self, embedder: str) -> None:
        """Delete an embedder's collections; does nothing for missing ones."""
        from chromadb.errors import NotFoundError

        for name in self._collection_names(prefix=collection_prefix(embedder)):
            with suppress(NotFoundError), chroma_errors("delete a collection"):
                self.client().delete_collection(name)
            self._collections.pop(name, None)

    def delete(
        self,
        ids: Sequence[str],
        *,
        bucket: str | None = None,
        embedder: str | None = None,
        through: Mapping[str, str] | None = None,
    ) -> None:
        """Delete passages, of every embedder or of one; does nothing for unknown ids.

        ``bucket`` saves 15 of 16 calls. ``through``: the highest sortable version to delete, by id; all without it. The
        text is no longer findable from then on, but its vector stays in the server's files until the bucket is rebuilt.
        """
        for name in self._collections_for(embedder, bucket) if ids else ():
            for start in range(0, len(ids), PAGE_ROWS):
                delete = partial(delete_present, ids=ids[start : start + PAGE_ROWS], through=through)
                self.with_collection(name, "delete passages", delete)

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
        """The ``k`` nearest passages, nearest first.

        Args:
            vector: the query's embedding, shape ``(dimensions,)``.
            embedder: ``name@version`` that made it; only its collections are searched.
            subject: key of the subject whose passages alone are searched; ``None`` searches all 16 buckets.
            tenant: passages of this tenant only; ``None``: of all.
            modalities: empty means all.
            since: the earliest event time, inclusive.
            until: the latest event time, exclusive.
            k: the maximum of hits.
        """
        where = where_filter(subject, modalities, since, until, tenant)
        wanted = {collection_name(embedder, bucket) for bucket in _buckets_for(subject)}
        names = (
            wanted
            if subject is not None
            else wanted.intersection(self._collection_names(prefix=collection_prefix(embedder)))
        )

        search_one = ann_search if subject is None else search_with_exact_fallback
        query = partial(search_one, vector=np.asarray(vector, dtype=np.float32), k=k, where=where)
        found = (self.with_collection(name, "search", query) for name in sorted(names))
        hits = [row_to_hit(*row) for rows in found for row in rows or ()]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage_id))[:k]

    def ids(
        self, *, subject: str | None = None, bucket: str | None = None, embedder: str | None = None
    ) -> Iterator[str]:
        """Passage ids, page by page; an id that two embedders indexed comes twice unless ``embedder`` is given.

        Pages are read one after the other: rows that land meanwhile may or may not be included.
        """
        if subject is not None:
            bucket = bucket_name(subject)
        where = where_filter(subject, (), None, None)
        for page in self._pages(self._collections_for(embedder, bucket), where, []):
            yield from page["ids"]

    def _collections_for(self, embedder: str | None, bucket: str | None) -> list[str]:
        """Names of existing collections; a full name (embedder and bucket) is not checked and may be missing."""
        if embedder is not None and bucket is not None:
            return [collection_name(embedder, bucket)]
        prefix = "" if embedder is None else collection_prefix(embedder)
        return self._collection_names(prefix=prefix, suffix="" if bucket is None else f"-{bucket}")

    def rows(
        self, *, modality: Modality, since: datetime, until: datetime
    ) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Id, text and metadata (:mod:`mmplatform.land.index.row_codec`) by event time; pages as in :meth:`ids`."""
        where = where_filter(None, (modality,), since, until)
        for page in self._pages(self._collection_names(), where, ["documents", "metadatas"]):
            yield from zip(page["ids"], page["documents"], page["metadatas"], strict=True)

    def _pages(self, names: Sequence[str], where: Mapping[str, Any] | None, include: list[str]) -> Iterator[Any]:
        for name in names:
            offset = 0
            while True:
                get = methodcaller("get", where=where, limit=PAGE_ROWS, offset=offset, include=include)
                page = self.with_collection(name, "list passages", get)
                if page is None:
                    break
                yield page
                if len(page["ids"]) < PAGE_ROWS:
                    break
                offset += PAGE_ROWS

    def passage_stamps(self, since: datetime, until: datetime) -> Iterator[PassageStamps]:
        """Stamps of the passages with event times from ``since`` to ``until``; pages as in :meth:`ids`, no texts."""
        for page in self._pages(self._collection_names(), where_filter(None, (), since, until), ["metadatas"]):
            yield from map(row_to_stamps, page["ids"], page["metadatas"])

    def count(self, *, embedder: str | None = None, bucket: str | None = None) -> int:
        """The number of findable passages."""
        names = self._collections_for(embedder, bucket)
        counts = (self.with_collection(name, "count", methodcaller("count")) for name in names)
        return sum(int(count or 0) for count in counts)


def find_missing(collection: Collection, rows: Sequence[IndexRow]) -> set[str]:
    """Ids of rows that no search finds: one query for all, then one for each missing row by its own vector."""
    ids = [row.artifact_id for row in rows]
    answer = collection.query(query_embeddings=np.stack([rows[0].vector]), ids=ids, n_results=len(ids), include=[])
    found = answer["ids"][0]
    missing = set()
    for row in rows:
        if row.artifact_id not in found:
            vector = np.stack([row.vector])
            single = collection.query(query_embeddings=vector, ids=[row.artifact_id], n_results=1, include=[])
            if not single["ids"][0]:
                missing.add(row.artifact_id)
    return missing


def _buckets_for(subject: str | None) -> tuple[str, ...]:
    return BUCKET_NAMES if subject is None else (bucket_name(subject),)
