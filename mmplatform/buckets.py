"""Which of the 16 buckets a subject's data lie in, in both stores.

It is Iceberg's own bucket transform (Murmur3, 32 bits, of the UTF-8 bytes), so that the index bucket ``b03`` and the
table partition ``subject_bucket=3`` hold the same people: a bucket of the index is rebuilt from one table partition.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import mmh3

BUCKETS: Final = 16
BUCKET_NAMES: Final = tuple(f"b{number:02d}" for number in range(BUCKETS))
_PREFIX: Final = "passages-"


def bucket_number(subject_id: str) -> int:
    """0 to 15; the same for ever."""
    return (mmh3.hash(subject_id.encode()) & 0x7FFF_FFFF) % BUCKETS


def bucket_of(subject_id: str) -> str:
    """``b00`` to ``b15``."""
    return BUCKET_NAMES[bucket_number(subject_id)]


def collection_name(embedder: str, bucket: str) -> str:
    """``passages-<embedder>-<6 hex digits>-b03``; the digits keep apart embedders whose names look alike."""
    return f"{collection_stem(embedder)}{bucket}"


def collection_stem(embedder: str) -> str:
    """What the collections of one embedder (``name@version``) have in common; they share no vector with another's."""
    slug = re.sub(r"[^a-z0-9]+", "-", embedder.lower()).strip("-")[:80] or "embedder"
    return f"{_PREFIX}{slug}-{hashlib.sha256(embedder.encode()).hexdigest()[:6]}-"


def is_passage_collection(name: str) -> bool:
    """Whether a collection of the server is one of ours, whatever its embedder."""
    return re.fullmatch(rf"{_PREFIX}.+-[0-9a-f]{{6}}-b\d\d", name) is not None
