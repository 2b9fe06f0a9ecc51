"""Candidate of one bucket: filled while the bucket is searched and written, then exchanged with it.

Chroma's clients cache a collection by its id. So the exchange renames: the old collection gets the name of a replaced
one, the candidate the bucket's. Clients with the old id read and write the old collection until it is deleted, then
find the new one by name. What they wrote to the old one meanwhile is on the log: the caller reads it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from operator import methodcaller
from typing import TYPE_CHECKING, Final, TypeVar

from mmplatform.artifacts import Passage
from mmplatform.buckets import (
    candidate_name,
    collection_name,
    is_passage_collection,
    live_name,
    replaced_name,
)
from mmplatform.errors import Unavailable
from mmplatform.land.index.chroma_client import chroma_errors
from mmplatform.land.index.row_codec import IndexRow
from mmplatform.land.index.store import ChromaIndex
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

T = TypeVar("T")
_MAX_ATTEMPTS: Final = 3
_STAMPS: Final = ("indexed_at", "logged_at")


class CandidateIndex(ChromaIndex):
    """The index as a rebuild of one bucket sees it: each collection of the bucket is its candidate."""

    def __init__(self, settings: Settings, bucket: str) -> None:
        super().__init__(settings)
        self.bucket = bucket

    def create_collections(self, embedder: str) -> None:
        """Create the candidate of the embedder's collection."""
        metadata = {"embedder": embedder, "bucket": self.bucket}
        self.with_collection(collection_name(embedder, self.bucket), "create a candidate", _keep_open, metadata)

    def with_collection(
        self, name: str, action: str, call: Callable[[Collection], T], metadata: Mapping[str, str] | None = None
    ) -> T | None:
        """Call with a collection, for one of the bucket with its candidate."""
        return super().with_collection(self._candidate(name), action, call, metadata)

    def upsert_rows(self, embedder: str, bucket: str, rows: Sequence[IndexRow]) -> None:
        """Upsert; a row that the bucket has in the same version keeps the time at which it became findable."""
        live = self._live_metadata(embedder, [row.artifact_id for row in rows])
        stamped = []
        for row in rows:
            found = live.get(row.artifact_id, {})
            same = found.get("version") == row.metadata["version"]
            stamps = {name: found[name] for name in _STAMPS if name in found} if same else {}
            stamped.append(IndexRow(row.artifact_id, row.text, {**row.metadata, **stamps}, row.vector))
        super().upsert_rows(embedder, bucket, stamped)

    def restamp(self, passages: Sequence[Passage], indexed_at: datetime) -> None:
        """Change nothing: no passage is findable here before the exchange."""

    def _live_metadata(self, embedder: str, ids: Sequence[str]) -> Mapping[str, Mapping[str, object]]:
        query = methodcaller("get", ids=list(ids), include=["metadatas"])
        name = collection_name(embedder, self.bucket)
        found = super().with_collection(name, "read stamps", query) if ids else None
        return {} if found is None else dict(zip(found["ids"], found["metadatas"], strict=True))

    def _candidate(self, name: str) -> str:
        return candidate_name(name) if is_passage_collection(name) and name.endswith(f"-{self.bucket}") else name

    def _collection_names(self, *, prefix: str = "", suffix: str = "") -> list[str]:
        """Names of the bucket's collections that have a candidate."""
        names = {collection.name for collection in self.list_collections()}
        live = {live_name(name) for name in names if name.startswith(candidate_name(""))}
        own = (name for name in live if name.endswith(f"-{self.bucket}"))
        return sorted(name for name in own if name.startswith(prefix) and name.endswith(suffix))

    def candidate_embedders(self) -> set[str]:
        """``name@version`` of every embedder that has a candidate of the bucket."""
        return {
            str((collection.metadata or {}).get("embedder"))
            for collection in self.list_collections()
            if collection.name == candidate_name(live_name(collection.name))
            and collection.name.endswith(f"-{self.bucket}")
        }

    def remove_leftovers(self) -> int:
        """Remove what an interrupted rebuild of the bucket left; returns the number of such collections.

        Where it ended between the two renames, the replaced collection gets its name back.
        """
        names = {collection.name for collection in self.list_collections()}
        leftovers = [
            name
            for name in names
            if not is_passage_collection(name)
            and is_passage_collection(live_name(name))
            and name.endswith(f"-{self.bucket}")
        ]
        for name in sorted(leftovers, reverse=True):  # replaced ones first
            if name == replaced_name(live_name(name)) and live_name(name) not in names:
                self._rename(name, live_name(name))
            else:
                self._drop(name)
        return len(leftovers)

    def exchange(self, embedder: str) -> None:
        """Let the candidate serve in place of the embedder's collection, which is deleted.

        Raises:
            Unavailable: the server does not answer, or others create the collection again and again.
        """
        live = collection_name(embedder, self.bucket)
        for _ in range(_MAX_ATTEMPTS):
            self._rename(live, replaced_name(live))
            with suppress(Unavailable):  # a writer that found no collection has created one: it is replaced as well
                self._rename(candidate_name(live), live)
            present = {collection.name for collection in self.list_collections()}
            if live in present and candidate_name(live) not in present:
                self._collections.clear()
                self._drop(replaced_name(live))
                return
            if live in present:
                self._drop(replaced_name(live))
        raise Unavailable(f"{live} is created again and again: the candidate could not take its name; run it again")

    def _rename(self, name: str, new_name: str) -> None:
        """Rename a collection; does nothing for a missing one."""
        from chromadb.errors import NotFoundError

        with suppress(NotFoundError), chroma_errors("rename a collection"):
            self.client().get_collection(name, embedding_function=None).modify(name=new_name)

    def _drop(self, name: str) -> None:
        from chromadb.errors import NotFoundError

        with suppress(NotFoundError), chroma_errors("delete a collection"):
            self.client().delete_collection(name)
        self._collections.pop(name, None)


def _keep_open(_collection: Collection) -> None:
    """Do nothing: the call alone creates the collection."""
