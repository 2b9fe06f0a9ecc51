"""Blob store in any S3-compatible bucket: one object per content, under ``<prefix>/ab/abcdef…``.

An S3 put is atomic, so that torn objects cannot be read; Content-MD5 lets the server refuse what the network damaged.
Credentials left empty come from the default AWS chain (environment, profile, instance role).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from mmplatform.errors import Misconfigured, PlatformError, Rejected, Unavailable
from mmplatform.events import BlobRef
from mmplatform.identity import DEFAULT_TENANT
from mmplatform.land.blobs.addressing import blob_key, blob_ref, verify_content

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

_NOT_FOUND_CODES = frozenset({"404", "NoSuchKey", "NotFound"})
_ACCESS_CODES = frozenset(
    {
        "401",
        "403",
        "AccessDenied",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidBucketName",
        "InvalidToken",
        "NoSuchBucket",
        "PermanentRedirect",
        "SignatureDoesNotMatch",
        "301",
    }
)


class S3Blobs:
    """Blobs in a bucket; thread-safe, as boto3's clients are. The bucket must exist."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        endpoint: str = "",
        *,
        region: str = "us-east-1",
        access_key: str = "",
        secret_key: str = "",
        tenant: str = DEFAULT_TENANT,
        max_attempts: int = 5,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 30.0,
        client: S3Client | None = None,
    ) -> None:
        """``client``: an existing one, with its own endpoint and credentials."""
        import boto3
        from botocore.config import Config

        self._client: S3Client
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        self._tenant = tenant
        if client is not None:
            self._client = client
            return
        with self._errors("connect"):
            self._client = boto3.session.Session().client(
                "s3",
                endpoint_url=endpoint or None,
                region_name=region,
                aws_access_key_id=access_key or None,
                aws_secret_access_key=secret_key or None,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": max_attempts},
                    connect_timeout=connect_timeout_s,
                    read_timeout=read_timeout_s,
                    signature_version="s3v4",
                    max_pool_connections=32,
                    # Trailing checksums are AWS's own; other stores refuse or store them. Content-MD5 is universal.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": "path" if endpoint else "auto"},
                ),
            )

    def put(self, data: bytes, *, media_type: str) -> BlobRef:
        """Store and return the pointer; a present blob costs one HEAD and no upload.

        Raises:
            Unavailable: the store does not answer, or asks to retry later.
            Misconfigured: the bucket, the address or the credentials are wrong.
        """
        ref = blob_ref(data, media_type, self._tenant)
        with self._errors(f"put {ref.sha256}"):
            if self._stored_size(ref) != ref.size:
                digest = hashlib.md5(data, usedforsecurity=False).digest()
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._key(ref),
                    Body=data,
                    ContentType=media_type,
                    ContentMD5=base64.b64encode(digest).decode("ascii"),
                )
        return ref

    def get(self, ref: BlobRef) -> bytes:
        """The bytes, checked against ``sha256``.

        Raises:
            Rejected: missing or damaged.
            Unavailable, Misconfigured: as for ``put``.
        """
        with self._errors(f"get {ref.sha256}"):
            data = self._client.get_object(Bucket=self._bucket, Key=self._key(ref))["Body"].read()
        return verify_content(data, ref)

    def exists(self, ref: BlobRef) -> bool:
        """True when the bytes exist. A missing bucket is ``Misconfigured``, never a quiet no."""
        with self._errors(f"check for {ref.sha256}"):
            return self._stored_size(ref) is not None

    def size(self, ref: BlobRef) -> int | None:
        """The stored size in bytes; ``None`` when missing. A missing bucket is ``Misconfigured``."""
        with self._errors(f"check for {ref.sha256}"):
            return self._stored_size(ref)

    def delete(self, ref: BlobRef) -> None:
        """Delete the bytes; does nothing when they are missing."""
        with self._errors(f"delete {ref.sha256}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(ref))

    def delete_older(self, tenant: str, before: datetime) -> int:
        """Delete the blobs of a tenant that were put before a time; returns their number."""
        deleted = 0
        prefix = f"{self._prefix}/{tenant}/".lstrip("/")
        with self._errors(f"delete old blobs of {tenant}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    if found["LastModified"] < before:
                        self._client.delete_object(Bucket=self._bucket, Key=found["Key"])
                        deleted += 1
        return deleted

    def _key(self, ref: BlobRef) -> str:
        return f"{self._prefix}/{blob_key(ref)}".lstrip("/")

    def _stored_size(self, ref: BlobRef) -> int | None:
        from botocore.exceptions import ClientError

        try:
            return self._client.head_object(Bucket=self._bucket, Key=self._key(ref))["ContentLength"]
        except ClientError as error:
            if _error_code(error) not in _NOT_FOUND_CODES:
                raise
        try:
            self._client.head_bucket(Bucket=self._bucket)  # HEAD has no body to tell a missing key from a bucket
        except ClientError as error:
            if _error_code(error) in _NOT_FOUND_CODES:
                raise Misconfigured(
                    f"bucket {self._bucket} does not exist: create it or fix MMPLATFORM_BLOB_STORE_URL"
                ) from error
            raise
        return None

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,  # noqa: A004 - botocore's, which is no builtin ConnectionError
            HTTPClientError,
            IncompleteReadError,
            NoCredentialsError,
            SSLError,
        )

        where = f"s3://{self._bucket}/{self._prefix}: cannot {action}"
        try:
            yield
        except ClientError as error:
            raise _to_platform_error(error, where) from error
        except NoCredentialsError as error:
            raise Misconfigured(
                f"{where}: no credentials; set MMPLATFORM_S3_ACCESS_KEY and MMPLATFORM_S3_SECRET_KEY"
            ) from error
        except SSLError as error:
            raise Misconfigured(f"{where}: {error}; fix MMPLATFORM_S3_ENDPOINT or its certificate") from error
        except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
            raise Unavailable(f"{where}: the store does not answer ({type(error).__name__})") from error
        except (BotoCoreError, ValueError) as error:
            raise Misconfigured(f"{where}: {error}; fix MMPLATFORM_BLOB_STORE_URL or MMPLATFORM_S3_*") from error


def _error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _to_platform_error(error: ClientError, where: str) -> PlatformError:
    code = _error_code(error)
    if code in _NOT_FOUND_CODES:
        return Rejected(f"{where}: not there: erased, tiered away or never put")
    if code in _ACCESS_CODES:
        return Misconfigured(f"{where}: refused with {code}; fix MMPLATFORM_BLOB_STORE_URL or MMPLATFORM_S3_*")
    return Unavailable(f"{where}: the store answered {code or 'an error'}; try again")
