"""The collections of a Chroma server: connected to at the first call, looked up by name, and again when rebuilt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Self, TypeVar

import structlog

from mmplatform.buckets import is_passage_collection
from mmplatform.land.index.chroma_client import chroma_errors, connect, disconnect
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

T = TypeVar("T")
_log = structlog.get_logger(__name__)
PAGE: Final = 1000

SYNC_ROWS: Final = 100
"""After how many new rows Chroma writes a collection's graph to disk; what is newer lies in its log, which each write
reads again: 15 ms of processor with its own 1,000, 6 with 100, 5 with 20 (1.5.9, two rows a write;
``benchmarks/index_writes.py``). An acknowledged row is on disk either way."""


class Collections:
    """Thread-safe. Connects at the first call, and again after the server was away.

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
        """Those at ``settings.chroma_url``; nothing is contacted yet."""
        return cls(settings)

    def close(self) -> None:
        """Let the connections go; a later call opens them again."""
        with self._lock:
            if self._client is not None:
                disconnect(self._client)
            self._client = None
            self._collections.clear()

    def connected(self) -> Client:
        """The client."""
        with self._lock:
            if self._client is None:
                self._client = connect(self._settings)
            return self._client

    def reachable(self) -> None:
        """Return when the server answers."""
        with chroma_errors("ask whether it is there"):
            self.connected().heartbeat()

    def listed(self) -> list[Collection]:
        """Every collection of the server, also those that are not ours; 13 ms for 32."""
        client = self.connected()
        found: list[Collection] = []
        with chroma_errors("list collections"):
            while page := client.list_collections(limit=PAGE, offset=len(found)):
                found += page
        return found

    def _names(self, *, prefix: str = "", suffix: str = "") -> list[str]:
        ours = (each.name for each in self.listed() if is_passage_collection(each.name))
        return sorted(name for name in ours if name.startswith(prefix) and name.endswith(suffix))

    def _call(
        self, name: str, doing: str, call: Callable[[Collection], T], made: Mapping[str, str] | None = None
    ) -> T | None:
        """Call with a collection, looked up again once when it was rebuilt under us.

        ``made`` is what a new one says of itself; without it nothing is created and ``None`` means there is none.
        """
        from chromadb.errors import NotFoundError

        client = self.connected()
        for attempt in range(2):
            try:
                with chroma_errors(doing):
                    collection = self._collections.get(name)
                    if collection is None:
                        collection = self._find(client, name, made)
                        self._collections[name] = collection
                    return call(collection)
            except NotFoundError:
                self._collections.pop(name, None)
                if attempt and made is not None:
                    raise
        return None

    @staticmethod
    def _find(client: Client, name: str, made: Mapping[str, str] | None) -> Collection:
        if made is None:
            return client.get_collection(name, embedding_function=None)
        return client.get_or_create_collection(
            name,
            embedding_function=None,  # vectors always come with the passages; the default one would download a model
            metadata=dict(made),
            configuration={"hnsw": {"space": "cosine", "sync_threshold": SYNC_ROWS}},
        )


def tuned(collection: Collection) -> None:
    """Give a collection that was made before there was :data:`SYNC_ROWS` that many, too, from Chroma's next start on.

    A server that has another kind of index, or does not let it be changed, is left as it is: it is slower, not wrong.
    """
    from chromadb.errors import ChromaError

    graph = collection.configuration.get("hnsw")
    if not graph or graph.get("sync_threshold") == SYNC_ROWS:
        return
    try:
        collection.modify(configuration={"hnsw": {"sync_threshold": SYNC_ROWS}})
    except (ChromaError, ValueError) as error:
        _log.warning("collection not tuned", collection=collection.name, error=type(error).__name__)
