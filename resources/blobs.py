"""The bytes of calls and screenshots as Dagster sees them: whether they are there. Read only."""

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

AT_ONCE: Final = 8
"""Questions in flight: below the connections that a client of dagster-aws keeps, 10."""

POINTER: Final = ("blob_key", "blob_sha256", "blob_size", "blob_media_type")
"""The columns of a raw table that point to bytes; the end of a call has none in them."""


def pointer(row: Mapping[str, Any]) -> BlobRef:
    """What a raw row points to. Raises KeyError without those columns, ``ValidationError`` where they are empty."""
    return BlobRef.model_validate({name.removeprefix("blob_"): row[name] for name in POINTER})


class BlobsResource(ConfiguredResource):
    """Finds the blobs by the same settings as the stream; an object store is asked through dagster-aws's S3."""

    s3: S3Resource = Field(default_factory=S3Resource, description="Asked where the blobs are in `s3://…`.")

    def open(self) -> FileBlobs | S3Blobs:
        """The store; nothing is contacted, made or swept. Raises ``Misconfigured``."""
        from mmplatform.land.blobs.file_store import FileBlobs
        from mmplatform.land.blobs.open import s3_location
        from mmplatform.land.blobs.s3_store import S3Blobs

        settings = self.settings()
        if not settings.blob_store_url:
            return FileBlobs(settings.blobs_dir)
        bucket, prefix = s3_location(settings)
        return S3Blobs(bucket, prefix, client=self.s3.get_client())

    def sizes(self, refs: Iterable[BlobRef]) -> dict[str, int]:
        """How many bytes are stored, by SHA-256; what is not there is left out. One question for each blob.

        Raises:
            Unavailable: the store does not answer.
            Misconfigured: its address, its bucket or the keys are wrong.
        """
        each = {ref.sha256: ref for ref in refs}
        store = self.open()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            found = zip(each, threads.map(store.size, each.values()), strict=True)
            return {sha256: size for sha256, size in found if size is not None}
