"""Buckets: subjects (their keys, with the tenant) are hashed to 16 buckets, the same in both stores.

The hash is Iceberg's bucket transform (Murmur3, 32 bits, of the UTF-8 bytes), so that the index bucket ``b03`` and the
table partition ``subject_bucket=3`` hold the same subjects: a bucket of the index is rebuilt from one table partition.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import mmh3

BUCKET_COUNT: Final = 16
BUCKET_NAMES: Final = tuple(f"b{number:02d}" for number in range(BUCKET_COUNT))
_PREFIX: Final = "passages-"


def bucket_number(subject_key: str) -> int:
    """The bucket of a subject, 0 to 15; permanent."""
    return (mmh3.hash(subject_key.encode()) & 0x7FFF_FFFF) % BUCKET_COUNT


def bucket_name(subject_key: str) -> str:
    """The bucket of a subject, ``b00`` to ``b15``."""
    return BUCKET_NAMES[bucket_number(subject_key)]


def collection_name(embedder: str, bucket: str) -> str:
    """``passages-<embedder>-<6 hex digits>-b03``; the digits distinguish embedders with similar names."""
    return f"{collection_prefix(embedder)}{bucket}"


def collection_prefix(embedder: str) -> str:
    """The common prefix of the collections of one embedder (``name@version``)."""
    slug = re.sub(r"[^a-z0-9]+", "-", embedder.lower()).strip("-")[:80] or "embedder"
    return f"{_PREFIX}{slug}-{hashlib.sha256(embedder.encode()).hexdigest()[:6]}-"


def is_passage_collection(name: str) -> bool:
    """True for a passage collection, of any embedder."""
    return re.fullmatch(rf"{_PREFIX}.+-[0-9a-f]{{6}}-b\d\d", name) is not None
