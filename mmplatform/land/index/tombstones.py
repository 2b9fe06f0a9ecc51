"""Tombstones of the index: versions of retracted passages, so that a late write with a lower version stays out.

They lie in a collection of their own with a vector of one part, beside the passages and not among them: no search has
to skip them. A writer reads all of them once, when it begins to read topic partitions, and adds its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from mmplatform.artifacts import Retraction
from mmplatform.land.index.chroma_collections import PAGE_ROWS, ChromaCollections
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

T = TypeVar("T")
COLLECTION: Final = "retracted-passages"
RETENTION: Final = timedelta(days=7)
"""A writer that was paused for longer is restarted by its supervisor long before."""

PRUNE_INTERVAL: Final = timedelta(hours=1)
_PART: Final = np.ones((1, 1), dtype=np.float32)


class Tombstones:
    """Sortable versions of retractions by artifact id; for one thread. Every method raises ``Unavailable``."""

    def __init__(self, collections: ChromaCollections) -> None:
        self._collections = collections
        self._versions: dict[str, str] | None = None
        self._pruned_at: datetime | None = None

    def forget(self) -> None:
        """Read them again at the next use: another writer may have added some."""
        self._versions = None

    def versions(self) -> Mapping[str, str]:
        """All of them."""
        if self._versions is None:
            self._versions = dict(self._read())
        return self._versions

    def add(self, retractions: Sequence[Retraction], now: datetime) -> None:
        """Store the retractions that are newer than the stored ones, and drop those that are too old to matter."""
        remembered = self.versions()
        newer = {
            retraction.artifact_id: retraction.version.sortable
            for retraction in sorted(retractions, key=lambda retraction: retraction.version)
            if retraction.version.sortable > remembered.get(retraction.artifact_id, NO_VERSION)
        }
        if newer:
            # Another writer may have stored a higher one since they were read: it is not overwritten.
            stored: dict[str, str] = {}
            ids = list(newer)
            for start in range(0, len(ids), PAGE_ROWS):
                page = {row_id: newer[row_id] for row_id in ids[start : start + PAGE_ROWS]}
                stored |= self._write("store retractions", partial(_upsert_newer, versions=page, now=now)) or {}
            self._versions = {**remembered, **newer, **stored}
        if self._pruned_at is None or now - self._pruned_at >= PRUNE_INTERVAL:
            self.prune(now)
            self._pruned_at = now

    def prune(self, now: datetime) -> None:
        """Drop the tombstones that are older than :data:`RETENTION`."""
        if self._write("drop old retractions", partial(_delete_older, moment=now - RETENTION)):
            self.forget()

    def _write(self, action: str, call: Callable[[Collection], T]) -> T | None:
        return self._collections.with_collection(COLLECTION, action, call, {"holds": "retractions"})

    def _read(self) -> Iterable[tuple[str, str]]:
        offset = 0
        while True:
            get = methodcaller("get", limit=PAGE_ROWS, offset=offset, include=["metadatas"])
            page = self._collections.with_collection(COLLECTION, "read retractions", get)
            if page is None:
                return
            for row_id, metadata in zip(page["ids"], page["metadatas"], strict=True):
                yield row_id, metadata["version"]
            if len(page["ids"]) < PAGE_ROWS:
                return
            offset += PAGE_ROWS


def _upsert_newer(collection: Collection, versions: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Store the versions that are higher than the stored ones; returns the stored ones that are not lower."""
    found = collection.get(ids=list(versions), include=["metadatas"])
    stored = {row_id: str(row["version"]) for row_id, row in zip(found["ids"], found["metadatas"] or (), strict=True)}
    newer = {row_id: version for row_id, version in versions.items() if version > stored.get(row_id, NO_VERSION)}
    if newer:
        collection.upsert(
            ids=list(newer),
            embeddings=np.repeat(_PART, len(newer), axis=0),
            metadatas=[{"version": version, "retracted_at": now.timestamp()} for version in newer.values()],
        )
    return {row_id: version for row_id, version in stored.items() if row_id not in newer}


def _delete_older(collection: Collection, moment: datetime) -> bool:
    """Delete the tombstones from before a moment; False where there are none: such a delete is a slow write."""
    old: dict[str, Any] = {"retracted_at": {"$lt": moment.timestamp()}}
    if not collection.get(where=old, limit=1, include=[])["ids"]:
        return False
    collection.delete(where=old)
    return True
