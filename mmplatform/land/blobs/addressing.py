"""Content addressing: a blob is named by its tenant and its SHA-256, and verified against the latter at every read."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from mmplatform.errors import Rejected
from mmplatform.events import BlobRef
from mmplatform.identity import DEFAULT_TENANT, TENANT_PATTERN

_KEY: Final = re.compile(rf"({TENANT_PATTERN})/[0-9a-f]{{2}}/[0-9a-f]{{64}}")


def blob_ref(data: bytes, media_type: str, tenant: str = DEFAULT_TENANT) -> BlobRef:
    """The pointer that any store gives for these bytes of a tenant."""
    digest = hashlib.sha256(data).hexdigest()
    return BlobRef(key=_key(tenant, digest), sha256=digest, size=len(data), media_type=media_type)


def blob_key(ref: BlobRef) -> str:
    """``tenant/ab/abcdef…``: the same bytes of two tenants are two blobs, and no folder grows without bound.

    Of the pointer's own key only the tenant counts: a forged key must not walk a file system.
    """
    named = _KEY.fullmatch(ref.key)
    return _key(named[1] if named else DEFAULT_TENANT, ref.sha256)


def _key(tenant: str, sha256: str) -> str:
    return f"{tenant}/{sha256[:2]}/{sha256}"


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
