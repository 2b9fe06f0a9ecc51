"""Collections of a Chroma server: connects at the first call, finds them by name, and again after a rebuild."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Self, TypeVar

import structlog

from mmplatform.buckets import is_passage_collection
from mmplatform.land.index.chroma_client import chroma_errors, connect, disconnect
from mmplatform.settings import Settings
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

T = TypeVar("T")
_log = structlog.get_logger(__name__)
PAGE_ROWS: Final = 1000

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
        names = (collection.name for collection in self.list_collections())
        passages = filter(is_passage_collection, names)
        return sorted(name for name in passages if name.startswith(prefix) and name.endswith(suffix))

    def with_collection(
        self, name: str, action: str, call: Callable[[Collection], T], metadata: Mapping[str, str] | None = None
    ) -> T | None:
        """Call with a collection; it is found again once when it was rebuilt meanwhile.

        ``metadata`` is that of a new one; without it none is created, and ``None`` means that there is none.
        """
        from chromadb.errors import NotFoundError

        client = self.client()
        for attempt in range(2):
            try:
                with chroma_errors(action):
                    collection = self._collections.get(name)
                    if collection is None:
                        collection = self._get_collection(client, name, metadata)
                        self._collections[name] = collection
                    return call(collection)
            except NotFoundError:
                self._collections.pop(name, None)
                if attempt and metadata is not None:
                    raise
        return None

    @staticmethod
    def _get_collection(client: Client, name: str, metadata: Mapping[str, str] | None) -> Collection:
        if metadata is None:
            return client.get_collection(name, embedding_function=None)
        return client.get_or_create_collection(
            name,
            embedding_function=None,  # vectors always come with the passages; the default one would download a model
            metadata=dict(metadata),
            configuration={"hnsw": {"space": "cosine", "sync_threshold": SYNC_THRESHOLD}},
        )


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
