"""Collections of canaries in the index: one a day and embedder, dropped as a whole."""

from __future__ import annotations

from contextlib import suppress

from mmplatform.buckets import canary_day
from mmplatform.land.index.chroma_client import chroma_errors
from mmplatform.land.index.chroma_collections import ChromaCollections


def drop_canaries(index: ChromaCollections, before_day: str) -> int:
    """Delete the collections of canaries of the days before one, given as ``20260301``; returns their number.

    A collection and not its rows: Chroma keeps the vector of a deleted row in its files, 2.4 MB for a day of chats.

    Raises:
        Unavailable: the server does not answer.
    """
    from chromadb.errors import NotFoundError

    names = [collection.name for collection in index.list_collections()]
    old = [name for name in names if (day := canary_day(name)) is not None and day < before_day]
    for name in old:
        with suppress(NotFoundError), chroma_errors("delete a collection"):
            index.client().delete_collection(name)
    return len(old)
