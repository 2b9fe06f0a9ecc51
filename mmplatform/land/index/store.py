"""The hot vector index: passages in Chroma, one collection per bucket of subjects and per embedder.

The indexer upserts and deletes, search queries, ledgers count. A customer's query touches one collection, an erasure
rebuilds one, and a new embedder is built beside the old one. Upserts are by ``artifact_id``, so that landing twice
leaves one row. What ``upsert`` returned from is on the server's disk and was found by a search.
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
    bucket_of,
    collection_name,
    collection_stem,
    is_passage_collection,
)
from mmplatform.events import Modality
from mmplatform.land.index.chroma_client import chroma_errors
from mmplatform.land.index.chroma_collections import PAGE, Collections, tuned
from mmplatform.land.index.exact_fallback import walked, whole
from mmplatform.land.index.row_codec import Hit, IndexRow, Stamped, hit_of, metadata_of, stamped_of, where

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

_log = structlog.get_logger(__name__)
_PROOFS: Final = 3
UPSERT_ROWS: Final = 200


class ChromaIndex(Collections):
    """Passages on a Chroma server; thread-safe. Every method raises what :class:`Collections` raises."""

    def prepare(self, embedder: str) -> None:
        """Create the collections of an embedder (``name@version``), so that no first passage waits for its own."""
        for bucket in BUCKET_NAMES:
            made = {"embedder": embedder, "bucket": bucket}
            self._call(collection_name(embedder, bucket), "create a collection", tuned, made)

    def upsert(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Make the passages findable. Of several with one id the last one counts.

        Raises:
            Rejected: a vector has another number of dimensions than its collection.
        """
        groups: dict[tuple[str, str], dict[str, Passage]] = {}
        for passage in passages:
            group = groups.setdefault((passage.embedder, bucket_of(passage.subject_id)), {})
            group.pop(passage.artifact_id, None)
            group[passage.artifact_id] = passage
        for (embedder, bucket), group in groups.items():
            rows = [IndexRow(r.artifact_id, r.text, metadata_of(r, indexed_at), r.vector) for r in group.values()]
            self.put(embedder, bucket, rows)

    def put(self, embedder: str, bucket: str, rows: Sequence[IndexRow]) -> None:
        """Upsert rows of one collection, as they are. Raises as :meth:`upsert`."""
        for start in range(0, len(rows), UPSERT_ROWS):
            self._upsert(embedder, bucket, rows[start : start + UPSERT_ROWS])

    def _upsert(self, embedder: str, bucket: str, rows: Sequence[IndexRow]) -> None:
        """Write, and look whether every row is findable: now and then Chroma takes one and leaves it out of its graph.

        Seen in 1.5.9, once in 2,200 rows, at the third row of a new collection while others searched it: the row could
        be got by its id and by no search. Written again, it was found.
        """

        def write(collection: Collection) -> None:
            collection.upsert(
                ids=[row.artifact_id for row in rows],
                embeddings=np.stack([row.vector for row in rows]),
                metadatas=[dict(row.metadata) for row in rows],
                documents=[row.text for row in rows],
            )

        made = {"embedder": embedder, "bucket": bucket}
        name, doing = collection_name(embedder, bucket), f"upsert {len(rows)} passages"
        self._call(name, doing, write, made)
        for _ in range(_PROOFS):
            missing = self._call(name, "prove that passages are findable", partial(unfindable, rows=rows))
            if not missing:
                return
            _log.warning("upserted, but not findable: upserted again", collection=name, passages=missing)
            rows = [row for row in rows if row.artifact_id in missing]
            self._call(name, doing, write, made)
        _log.error("passages stay unfindable", collection=name, passages=[row.artifact_id for row in rows])

    def get(self, embedder: str, bucket: str, ids: Sequence[str]) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Text and metadata of those of the ids that one collection has."""
        ask = methodcaller("get", ids=list(ids), include=["documents", "metadatas"])
        found = self._call(collection_name(embedder, bucket), "look passages up", ask) if ids else None
        if found is None:
            return {}
        rows = zip(found["ids"], found["documents"], found["metadatas"], strict=True)
        return {each: (text, metadata) for each, text, metadata in rows}

    def embedders(self) -> set[str]:
        """``name@version`` of every embedder that has collections here."""
        listed = self.listed()
        return {str((each.metadata or {}).get("embedder")) for each in listed if is_passage_collection(each.name)}

    def drop(self, embedder: str) -> None:
        """Delete an embedder's collections; those that are gone already do nothing."""
        from chromadb.errors import NotFoundError

        for name in self._names(prefix=collection_stem(embedder)):
            with suppress(NotFoundError), chroma_errors("delete a collection"):
                self.connected().delete_collection(name)
            self._collections.pop(name, None)

    def delete(
        self,
        ids: Sequence[str],
        *,
        subject_id: str | None = None,
        bucket: str | None = None,
        embedder: str | None = None,
    ) -> None:
        """Take passages out, of every embedder or of one; ids that are not there do nothing.

        ``subject_id`` or ``bucket`` saves 15 of 16 calls. The text is no longer findable at once, but its vector stays
        in the server's files until the bucket is rebuilt.
        """
        if not ids:
            return
        bucket = bucket if subject_id is None else bucket_of(subject_id)
        for name in self._of(embedder, bucket):
            for start in range(0, len(ids), PAGE):
                self._call(name, "delete passages", partial(_delete_present, ids=ids[start : start + PAGE]))

    def search(
        self,
        vector: Vector,
        *,
        embedder: str,
        subject_id: str | None = None,
        modalities: Sequence[Modality] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        k: int = 10,
    ) -> list[Hit]:
        """The ``k`` nearest passages, nearest first.

        Args:
            vector: the query's embedding, shape ``(dimensions,)``.
            embedder: ``name@version`` that made it; only its own collections are searched.
            subject_id: one person's passages only (one collection); ``None`` searches all 16 buckets.
            modalities: empty means all.
            since: first event time that counts.
            until: first event time that does not.
            k: most hits.
        """
        asked = where(subject_id, modalities, since, until)
        wanted = {collection_name(embedder, each) for each in _buckets(subject_id)}
        names = wanted if subject_id is not None else wanted.intersection(self._names(prefix=collection_stem(embedder)))

        look = walked if subject_id is None else whole
        ask = partial(look, vector=np.asarray(vector, dtype=np.float32), k=k, asked=asked)
        found = (self._call(name, "search", ask) for name in sorted(names))
        hits = [hit_of(*near) for rows in found for near in rows or ()]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage_id))[:k]

    def ids(
        self, *, subject_id: str | None = None, bucket: str | None = None, embedder: str | None = None
    ) -> Iterator[str]:
        """Passage ids, page by page; an id that two embedders indexed comes twice unless ``embedder`` is given.

        Pages are read one after the other: rows that land meanwhile may or may not be in it.
        """
        if subject_id is not None:
            bucket = bucket_of(subject_id)
        asked = where(subject_id, (), None, None)
        for page in self._pages(self._of(embedder, bucket), asked, []):
            yield from page["ids"]

    def _of(self, embedder: str | None, bucket: str | None) -> list[str]:
        """Names of collections; one that is named whole is not looked for, and may not be there."""
        if embedder is not None and bucket is not None:
            return [collection_name(embedder, bucket)]
        stem = "" if embedder is None else collection_stem(embedder)
        return self._names(prefix=stem, suffix="" if bucket is None else f"-{bucket}")

    def rows(
        self, *, modality: Modality, since: datetime, until: datetime
    ) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Id, text and metadata (:mod:`mmplatform.land.index.row_codec`) of the passages of a time, as ``ids``."""
        asked = where(None, (modality,), since, until)
        for page in self._pages(self._names(), asked, ["documents", "metadatas"]):
            yield from zip(page["ids"], page["documents"], page["metadatas"], strict=True)

    def _pages(self, names: Sequence[str], asked: Mapping[str, Any] | None, include: list[str]) -> Iterator[Any]:
        for name in names:
            offset = 0
            while True:
                get = methodcaller("get", where=asked, limit=PAGE, offset=offset, include=include)
                page = self._call(name, "list passages", get)
                if page is None:
                    break
                yield page
                if len(page["ids"]) < PAGE:
                    break
                offset += PAGE

    def stamped(self, since: datetime, until: datetime) -> Iterator[Stamped]:
        """The passages of event times from ``since`` up to ``until``, as :meth:`ids` reads them; no text is read."""
        for page in self._pages(self._names(), where(None, (), since, until), ["metadatas"]):
            yield from map(stamped_of, page["ids"], page["metadatas"])

    def count(self, *, embedder: str | None = None, bucket: str | None = None) -> int:
        """How many passages are findable."""
        prefix = "" if embedder is None else collection_stem(embedder)
        names = self._names(prefix=prefix, suffix="" if bucket is None else f"-{bucket}")
        counts = (self._call(name, "count", methodcaller("count")) for name in names)
        return sum(int(count or 0) for count in counts)


def unfindable(collection: Collection, rows: Sequence[IndexRow]) -> set[str]:
    """Ids of the rows that a search does not find: asked for all at once, then each that is missing by its vector."""
    ids = [row.artifact_id for row in rows]
    found = collection.query(query_embeddings=np.stack([rows[0].vector]), ids=ids, n_results=len(ids), include=[])[
        "ids"
    ][0]
    missing = set()
    for row in rows:
        if row.artifact_id not in found:
            vector = np.stack([row.vector])
            alone = collection.query(query_embeddings=vector, ids=[row.artifact_id], n_results=1, include=[])
            if not alone["ids"][0]:
                missing.add(row.artifact_id)
    return missing


def _delete_present(collection: Collection, ids: Sequence[str]) -> None:
    """Ask first: a delete is a write of 0.1 s or more even when nothing is there, a look costs 3 ms."""
    present = collection.get(ids=list(ids), include=[])["ids"]
    if present:
        collection.delete(ids=present)


def _buckets(subject_id: str | None) -> tuple[str, ...]:
    return BUCKET_NAMES if subject_id is None else (bucket_of(subject_id),)
