"""Content addressing: a blob is named by its SHA-256 in every store, and verified against it at every read."""

from __future__ import annotations

import hashlib

from mmplatform.errors import Rejected
from mmplatform.events import BlobRef


def blob_ref(data: bytes, media_type: str) -> BlobRef:
    """The pointer that any store gives for these bytes."""
    digest = hashlib.sha256(data).hexdigest()
    return BlobRef(key=blob_key(digest), sha256=digest, size=len(data), media_type=media_type)


def blob_key(sha256: str) -> str:
    """``ab/abcdef…``: two levels, so that no folder grows without bound."""
    return f"{sha256[:2]}/{sha256}"


def verify_content(data: bytes, ref: BlobRef) -> bytes:
    """The bytes, verified against the pointer's size and SHA-256.

    Raises:
        Rejected: they differ; the message names the blob and both sizes.
    """
    if len(data) != ref.size or hashlib.sha256(data).hexdigest() != ref.sha256:
        raise Rejected(
            f"blob {ref.sha256} is damaged: {len(data)} bytes where {ref.size} were stored, or other content; "
            "restore it from a backup or ingest the original again"
        )
    return data
