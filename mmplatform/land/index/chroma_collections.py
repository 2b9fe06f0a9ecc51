"""Collections of a Chroma server: connects at the first call, finds them by name, and again after a rebuild."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Self, TypeVar

import structlog

from mmplatform.buckets import canary_day, is_canary_bucket, is_passage_collection, replaced_name
from mmplatform.land.index.chroma_client import InterruptedCall, chroma_errors, connect, disconnect
from mmplatform.settings import Settings
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

T = TypeVar("T")
_log = structlog.get_logger(__name__)
PAGE_ROWS: Final = 1000
_MAX_ATTEMPTS: Final = 3

SYNC_THRESHOLD: Final = 100
"""New rows after which Chroma writes a collection's graph to disk. Newer rows lie in its log, which each write reads
again: 15 ms of CPU with Chroma's default 1,000, 6 with 100, 5 with 20 (1.5.9, two rows a write;
``benchmarks/index_writes.py``). An acknowledged row is on disk either way."""


class ChromaCollections:
    """Collections of one server. Thread-safe. Connects at the first call, and again after an outage.

    Every method raises ``Unavailable`` when the server does not answer and ``Misconfigured`` when the address or the
    token is wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._collections: dict[str, Collection] = {}

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The collections at ``settings.chroma_url``; no connection is made yet."""
        return cls(settings)

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        with self._lock:
            if self._client is not None:
                disconnect(self._client)
            self._client = None
            self._collections.clear()

    def client(self) -> Client:
        """The client, connected."""
        with self._lock:
            if self._client is None:
                self._client = connect(self._settings)
            return self._client

    def check_reachable(self) -> None:
        """Return when the server answers."""
        with chroma_errors("check the connection"):
            self.client().heartbeat()

    def list_collections(self) -> list[Collection]:
        """Every collection of the server, including foreign ones; 13 ms for 32."""
        client = self.client()
        found: list[Collection] = []
        with chroma_errors("list collections"):
            while page := client.list_collections(limit=PAGE_ROWS, offset=len(found)):
                found += page
        return found

    def _collection_names(self, *, prefix: str = "", suffix: str = "") -> list[str]:
        names = {collection.name for collection in self.list_collections()}
        # A bucket that is being exchanged: its old collection serves until the new one has the name.
        names |= {name.removeprefix(replaced_name("")) for name in names}
        # Canaries lie in no bucket but their own, and are meant only where it is named.
        is_wanted: Callable[[str], object] = (
            canary_day if is_canary_bucket(suffix.removeprefix("-")) else is_passage_collection
        )
        passages = filter(is_wanted, names)
        return sorted(name for name in passages if name.startswith(prefix) and name.endswith(suffix))

    def with_collection(
        self, name: str, action: str, call: Callable[[Collection], T], metadata: Mapping[str, str] | None = None
    ) -> T | None:
        """Call with a collection; it is found again when it was rebuilt meanwhile.

        ``metadata`` is that of a new one; without it none is created, and ``None`` means that there is none.
        """
        from chromadb.errors import NotFoundError

        client = self.client()
        missing = 0
        for attempt in range(_MAX_ATTEMPTS):
            try:
                with chroma_errors(action):
                    collection = self._collections.get(name)
                    if collection is None:
                        collection = self._get_collection(client, name, metadata)
                        self._collections[name] = collection
                    return call(collection)
            except InterruptedCall:  # a rebuild deletes the replaced collection at this very time
                self._collections.pop(name, None)
                if attempt == _MAX_ATTEMPTS - 1:
                    raise
            except NotFoundError:
                self._collections.pop(name, None)
                missing += 1
                if missing > 1 and metadata is not None:
                    raise
                if missing > 1:
                    break
        return None

    @staticmethod
    def _get_collection(client: Client, name: str, metadata: Mapping[str, str] | None) -> Collection:
        from chromadb.errors import NotFoundError

        if metadata is None or is_passage_collection(name):
            try:
                return _find_collection(client, name)
            except NotFoundError:
                if metadata is None:
                    raise
        return client.get_or_create_collection(
            name,
            embedding_function=None,  # vectors always come with the passages; the default one would download a model
            metadata=dict(metadata),
            configuration={"hnsw": {"space": "cosine", "sync_threshold": SYNC_THRESHOLD}},
        )


def _find_collection(client: Client, name: str) -> Collection:
    """The collection, or the one that a rebuild is replacing: between two renames none has the name."""
    from chromadb.errors import NotFoundError

    try:
        return client.get_collection(name, embedding_function=None)
    except NotFoundError:
        if not is_passage_collection(name):
            raise
        return client.get_collection(replaced_name(name), embedding_function=None)


def tune(collection: Collection) -> None:
    """Set :data:`SYNC_THRESHOLD` on a collection of an older release; it applies from Chroma's next start on.

    A server with another kind of index, or one that refuses the change, is left as it is: slower, not wrong.
    """
    from chromadb.errors import ChromaError

    graph = collection.configuration.get("hnsw")
    if not graph or graph.get("sync_threshold") == SYNC_THRESHOLD:
        return
    try:
        collection.modify(configuration={"hnsw": {"sync_threshold": SYNC_THRESHOLD}})
    except (ChromaError, ValueError) as error:
        _log.warning("collection not tuned", collection=collection.name, error=type(error).__name__)


def delete_present(collection: Collection, ids: Sequence[str], through: Mapping[str, str] | None) -> None:
    """Delete the rows that exist. A delete of missing rows is a write of 0.1 s or more, the check costs 3 ms."""
    found = collection.get(ids=list(ids), include=["metadatas"])
    present = [
        row_id
        for row_id, metadata in zip(found["ids"], found["metadatas"] or (), strict=True)
        if through is None or str(metadata.get("version", NO_VERSION)) <= through[row_id]
    ]
    if present:
        collection.delete(ids=present)
