"""Opens the blob store that the settings name: files under the data directory, or an S3 bucket."""

from __future__ import annotations

from urllib.parse import urlsplit

from mmplatform.errors import Misconfigured
from mmplatform.land.blobs.file_store import FileBlobs
from mmplatform.ports import Blobs
from mmplatform.settings import Settings


def open_blobs(settings: Settings) -> Blobs:
    """The blob store of the settings. An object store is not contacted yet; partial local files are deleted.

    Raises:
        Misconfigured: ``MMPLATFORM_BLOB_STORE_URL`` is no ``s3://bucket/prefix``.
    """
    if not settings.blob_store_url:
        files = FileBlobs(settings.blobs_dir, settings.tenant)
        files.delete_partial_files()
        return files
    from mmplatform.land.blobs.s3_store import S3Blobs

    bucket, prefix = s3_location(settings)
    return S3Blobs(
        bucket,
        prefix,
        settings.s3_endpoint,
        region=settings.s3_region,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        tenant=settings.tenant,
    )


def s3_location(settings: Settings) -> tuple[str, str]:
    """Bucket and prefix of the blobs in an object store.

    Raises:
        Misconfigured: ``MMPLATFORM_BLOB_STORE_URL`` is no ``s3://bucket/prefix``.
    """
    address = urlsplit(settings.blob_store_url)
    if address.scheme != "s3" or not address.netloc:
        raise Misconfigured("MMPLATFORM_BLOB_STORE_URL must look like s3://bucket/prefix, or be empty for files")
    return address.netloc, address.path.strip("/")
