"""Blob store in files: content-addressed, written once, verified at every read (the other half of the claim check).

The gateway puts, the derivers get. A blob's key is ``tenant/ab/abcdef…`` (two hex digits, then the whole SHA-256) in
every store, so that bytes can be moved between stores without changing an event.

Guarantees of ``put``, in this order: the bytes are on disk before their name exists, and the name is on disk before
``put`` returns. So a reader sees all of a blob or none of it, whichever process dies in between.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.events import BlobRef
from mmplatform.identity import DEFAULT_TENANT
from mmplatform.land.blobs.addressing import blob_key, blob_ref, verify_content

_INCOMING_DIR = ".incoming"
_STALE_AFTER_S = 3600.0  # a partial file of a writer that died; no put takes an hour
_CONFIGURATION_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST})


class FileBlobs:
    """Blobs as files under one folder; any number of processes may put and get at once. ``tenant``: of what is put."""

    def __init__(self, root: Path, tenant: str = DEFAULT_TENANT) -> None:
        self._root = root
        self._tenant = tenant

    def put(self, data: bytes, *, media_type: str) -> BlobRef:
        """Store and return the pointer; durable on return. A present blob is not written again, a damaged one is.

        Raises:
            Unavailable: the disk is full or failing.
            Misconfigured: the folder cannot be written.
        """
        ref = blob_ref(data, media_type, self._tenant)
        path = self._path(ref)
        with _file_errors(path):
            if not self._is_intact(path, ref):
                self._write(path, data)
            _sync_folder(path.parent)  # also when another writer has just renamed it: durable on return
        return ref

    def get(self, ref: BlobRef) -> bytes:
        """The bytes, checked against ``sha256``.

        Raises:
            Rejected: missing or damaged.
            Unavailable: the disk fails.
        """
        path = self._path(ref)
        with _file_errors(path):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                raise Rejected(f"blob {ref.sha256} is not in {self._root}: erased, tiered away or never put") from None
        return verify_content(data, ref)

    def exists(self, ref: BlobRef) -> bool:
        """True when the bytes exist (``get`` verifies their content)."""
        path = self._path(ref)
        with _file_errors(path):
            return path.is_file()

    def size(self, ref: BlobRef) -> int | None:
        """The stored size in bytes; ``None`` when missing."""
        path = self._path(ref)
        with _file_errors(path):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                return None

    def delete(self, ref: BlobRef) -> None:
        """Delete the bytes; does nothing when they are missing."""
        path = self._path(ref)
        with _file_errors(path), suppress(FileNotFoundError):
            path.unlink()
            _sync_folder(path.parent)

    def delete_older(self, tenant: str, before: datetime) -> int:
        """Delete the blobs of a tenant that were put before a time; returns their number."""
        deleted = 0
        for path in (self._root / tenant).glob("*/*"):
            with _file_errors(path), suppress(FileNotFoundError):
                if path.stat().st_mtime < before.timestamp():
                    path.unlink()
                    deleted += 1
        return deleted

    def delete_partial_files(self) -> int:
        """Delete partial files that dead writers left over an hour ago; returns their number."""
        deleted = 0
        for partial in (self._root / _INCOMING_DIR).glob("*"):
            with _file_errors(partial), suppress(FileNotFoundError):
                if time.time() - partial.stat().st_mtime > _STALE_AFTER_S:
                    partial.unlink()
                    deleted += 1
        return deleted

    def _path(self, ref: BlobRef) -> Path:
        return self._root / blob_key(ref)

    @staticmethod
    def _is_intact(path: Path, ref: BlobRef) -> bool:
        try:
            if path.stat().st_size != ref.size:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == ref.sha256
        except FileNotFoundError:
            return False

    def _write(self, path: Path, data: bytes) -> None:
        """1. Write bytes to disk under a private name · 2. Rename (the caller then syncs the folder)."""
        incoming = self._root / _INCOMING_DIR
        for folder in (incoming, path.parent):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                _sync_folder(folder.parent)
        partial = incoming / f"{path.name}.{uuid.uuid4().hex}"
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no handle on folders to sync
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in _CONFIGURATION_ERRNOS:
            raise Misconfigured(f"the blob store cannot use {path}: {reason}; fix MMPLATFORM_DATA_DIR") from error
        raise Unavailable(f"the blob store failed at {path}: {reason}") from error
