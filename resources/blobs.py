"""The blob store as a Dagster resource: sizes of the blobs of calls and screenshots. Read only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from dagster_aws.s3 import S3Resource
from pydantic import Field

from mmplatform.events import BlobRef
from resources.base import ConfiguredResource

if TYPE_CHECKING:
    from mmplatform.land.blobs.file_store import FileBlobs
    from mmplatform.land.blobs.s3_store import S3Blobs

MAX_CONCURRENT_REQUESTS: Final = 8
"""Below the connections that a client of dagster-aws keeps, 10."""

BLOB_COLUMNS: Final = ("blob_key", "blob_sha256", "blob_size", "blob_media_type")
"""The columns of a raw table that point to a blob; empty for the end of a call."""


def blob_ref_from_row(row: Mapping[str, Any]) -> BlobRef:
    """The pointer of a raw row. Raises KeyError without those columns, ``ValidationError`` where they are empty."""
    return BlobRef.model_validate({name.removeprefix("blob_"): row[name] for name in BLOB_COLUMNS})


class BlobsResource(ConfiguredResource):
    """Finds the blobs by the same settings as the stream; an object store is read through dagster-aws's S3."""

    s3: S3Resource = Field(default_factory=S3Resource, description="Client for blobs in `s3://…`.")

    def open(self) -> FileBlobs | S3Blobs:
        """The store; opening contacts, creates and sweeps nothing. Raises ``Misconfigured``."""
        from mmplatform.land.blobs.file_store import FileBlobs
        from mmplatform.land.blobs.open import s3_location
        from mmplatform.land.blobs.s3_store import S3Blobs

        settings = self.settings()
        if not settings.blob_store_url:
            return FileBlobs(settings.blobs_dir)
        bucket, prefix = s3_location(settings)
        return S3Blobs(bucket, prefix, client=self.s3.get_client())

    def sizes(self, refs: Iterable[BlobRef]) -> dict[str, int]:
        """Bytes of each stored blob, by SHA-256; missing ones are left out. One request for each blob.

        Raises:
            Unavailable: the store does not answer.
            Misconfigured: its address, its bucket or the keys are wrong.
        """
        by_sha256 = {ref.sha256: ref for ref in refs}
        store = self.open()
        with ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS) as threads:
            sizes = zip(by_sha256, threads.map(store.size, by_sha256.values()), strict=True)
            return {sha256: size for sha256, size in sizes if size is not None}
