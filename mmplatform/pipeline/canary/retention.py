"""Retention of canaries: deletes their old blobs and collections of the index. They have no rows in tables."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple

from mmplatform.identity import CANARY_TENANT
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.index.canary_collections import drop_canaries
from mmplatform.land.index.store import ChromaIndex
from mmplatform.settings import Settings


class DeletedCanaries(NamedTuple):
    """Numbers of what was deleted."""

    blobs: int
    collections: int


def delete_old_canaries(settings: Settings, now: datetime) -> DeletedCanaries:
    """Delete canaries of the days before the retention.

    Raises:
        Unavailable: a store does not answer; what is old then is deleted the next time.
        Misconfigured: a store's address is wrong.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    since = midnight - timedelta(days=settings.canary_retention_days)
    blobs = open_blobs(settings).delete_older(CANARY_TENANT, since)
    with closing(ChromaIndex.open(settings)) as index:
        return DeletedCanaries(blobs, drop_canaries(index, f"{since:%Y%m%d}"))
