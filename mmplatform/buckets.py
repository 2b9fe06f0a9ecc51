"""Buckets: subjects (their keys, with the tenant) are hashed to 16 buckets, the same in both stores.

The hash is Iceberg's bucket transform (Murmur3, 32 bits, of the UTF-8 bytes), so that the index bucket ``b03`` and the
table partition ``subject_bucket=3`` hold the same subjects: a bucket of the index is rebuilt from one table partition.

Canaries lie in buckets of their own, one a day, which no search over all subjects and no count includes. A bucket of a
past day is dropped as a whole.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import mmh3

from mmplatform.identity import is_canary_key

BUCKET_COUNT: Final = 16
BUCKET_NAMES: Final = tuple(f"b{number:02d}" for number in range(BUCKET_COUNT))
_PREFIX: Final = "passages-"
_CANDIDATE: Final = "candidate-"
_REPLACED: Final = "replaced-"
_CANARY: Final = "canary-"
_DAY: Final = r"\d{8}"
_NO_DAY: Final = "0" * 8


def bucket_number(subject_key: str) -> int:
    """The bucket of a subject, 0 to 15; permanent."""
    return (mmh3.hash(subject_key.encode()) & 0x7FFF_FFFF) % BUCKET_COUNT


def bucket_name(subject_key: str) -> str:
    """The bucket of a subject, ``b00`` to ``b15``; of a canary, that of the day with which its subject begins."""
    if is_canary_key(subject_key):
        day = re.match(_DAY, subject_key.partition("/")[2])
        return f"{_CANARY}{day[0] if day else _NO_DAY}"
    return BUCKET_NAMES[bucket_number(subject_key)]


def is_canary_bucket(bucket: str) -> bool:
    """True for a bucket of canaries."""
    return bucket.startswith(_CANARY)


def canary_day(collection: str) -> str | None:
    """The day of a collection of canaries, as ``20260301``; None for any other collection."""
    found = re.fullmatch(rf"{_PREFIX}.+-[0-9a-f]{{6}}-{_CANARY}({_DAY})", collection)
    return found[1] if found else None


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


def candidate_name(name: str) -> str:
    """The collection that is filled to replace the passage collection ``name``."""
    return f"{_CANDIDATE}{name}"


def replaced_name(name: str) -> str:
    """The passage collection ``name`` from its replacement until its deletion."""
    return f"{_REPLACED}{name}"


def live_name(name: str) -> str:
    """The passage collection of which this is the candidate or the replaced one; any other name unchanged."""
    return name.removeprefix(_CANDIDATE).removeprefix(_REPLACED)
