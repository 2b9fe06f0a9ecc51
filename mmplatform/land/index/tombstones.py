"""Tombstones of the index: versions of retracted passages, so that a late write with a lower version stays out.

They lie in a collection of their own with a vector of one part, beside the passages and not among them: no search has
to skip them. A writer reads all of them once, when it begins to read topic partitions, and adds its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Final

import numpy as np

from mmplatform.artifacts import Retraction
from mmplatform.land.index.chroma_collections import PAGE_ROWS, ChromaCollections
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

COLLECTION: Final = "retracted-passages"
RETENTION: Final = timedelta(days=7)
"""A writer that was paused for longer is restarted by its supervisor long before."""

_PART: Final = np.ones((1, 1), dtype=np.float32)


class Tombstones:
    """Sortable versions of retractions by artifact id; for one thread. Every method raises ``Unavailable``."""

    def __init__(self, collections: ChromaCollections) -> None:
        self._collections = collections
        self._versions: dict[str, str] | None = None

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
        known = self.versions()
        newer = {
            retraction.artifact_id: retraction.version.sortable
            for retraction in sorted(retractions, key=lambda retraction: retraction.version)
            if retraction.version.sortable > known.get(retraction.artifact_id, NO_VERSION)
        }
        if newer:
            self._write("store retractions", partial(_upsert, versions=newer, now=now))
            self._versions = {**known, **newer}

    def prune(self, now: datetime) -> None:
        """Drop the tombstones that are older than :data:`RETENTION`."""
        old = {"retracted_at": {"$lt": (now - RETENTION).timestamp()}}
        self._write("drop old retractions", methodcaller("delete", where=old))
        self.forget()

    def _write(self, action: str, call: Callable[[Collection], object]) -> None:
        self._collections.with_collection(COLLECTION, action, call, {"holds": "retractions"})

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


def _upsert(collection: Collection, versions: Mapping[str, str], now: datetime) -> None:
    collection.upsert(
        ids=list(versions),
        embeddings=np.repeat(_PART, len(versions), axis=0),
        metadatas=[{"version": version, "retracted_at": now.timestamp()} for version in versions.values()],
    )
