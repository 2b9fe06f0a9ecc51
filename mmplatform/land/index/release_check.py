"""Refuses the collections of a release before format 2: their rows have no version, no tenant and other ids."""

from __future__ import annotations

from operator import methodcaller

from mmplatform.buckets import is_passage_collection
from mmplatform.errors import Misconfigured
from mmplatform.land.index.chroma_collections import ChromaCollections


def check_release(index: ChromaCollections) -> None:
    """Return when no collection begins with a row of format 1; one request for each collection.

    Raises:
        Misconfigured: an older release filled the server; the message names the cure.
        Unavailable: the server does not answer.
    """
    for collection in index.list_collections():
        if not is_passage_collection(collection.name):
            continue
        first = methodcaller("get", limit=1, include=["metadatas"])
        found = index.with_collection(collection.name, "check the release", first)
        if found and any("version" not in metadata for metadata in found["metadatas"]):
            raise Misconfigured(
                f"collection {collection.name} was filled by an older release, whose rows have format 1: set "
                "MMPLATFORM_CHROMA_URL to an empty server, then take the old log over with `mmplatform migrate`"
            )
