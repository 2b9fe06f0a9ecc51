"""Newest versions of ids that an index has, of their rows and of their retractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import TYPE_CHECKING, NamedTuple

from mmplatform.artifacts import Passage
from mmplatform.buckets import bucket_name
from mmplatform.land.index.tombstones import COLLECTION

if TYPE_CHECKING:
    from mmplatform.land.index.store import ChromaIndex


class StoredVersion(NamedTuple):
    """Highest version that an index or its tail has of an id, sortable, and whether it is that of a retraction."""

    version: str
    is_retraction: bool

    def outdates(self, version: str) -> bool:
        """True when a record or row with that version is out of date, because of another record."""
        return self.version > version or (self.version == version and self.is_retraction)


def newest_versions(index: ChromaIndex, embedder: str, passages: Sequence[Passage]) -> Mapping[str, StoredVersion]:
    """Versions by id, of the rows of one embedder and of the retractions; without the ids that have neither.

    It reads them on the server: another process may have written them a moment ago. Raises Unavailable.
    """
    ids_by_bucket: dict[str, list[str]] = {}
    unique = {passage.artifact_id: passage for passage in passages}  # Chroma refuses an id that comes twice
    for passage in unique.values():
        ids_by_bucket.setdefault(bucket_name(passage.subject_key), []).append(passage.artifact_id)
    newest: dict[str, StoredVersion] = {}
    for bucket, ids in ids_by_bucket.items():
        rows = index.versions(embedder, bucket, ids)
        newest |= {row_id: StoredVersion(version, is_retraction=False) for row_id, version in rows.items()}
    query = methodcaller("get", ids=list(unique), include=["metadatas"])
    found = index.with_collection(COLLECTION, "read retractions", query) if unique else None
    if found is not None:
        for row_id, metadata in zip(found["ids"], found["metadatas"], strict=True):
            retraction = StoredVersion(str(metadata["version"]), is_retraction=True)
            newest[row_id] = max(newest.get(row_id, retraction), retraction)
    return newest
