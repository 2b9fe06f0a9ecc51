"""Expires old snapshots of a table, and deletes the files that only they needed.

Every commit of the archiver is a snapshot: at one each 15 s a table has 5,760 a day, and each later commit reads and
writes the metadata of all of them. Replaced and retracted rows also stay readable in an old snapshot's files until
those files are deleted. pyiceberg's own expiry removes the snapshots and leaves the files.

Safe beside writers: a writer builds on the newest snapshot, which is always retained. A reader of an older snapshot has
``max_age`` to finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from mmplatform.land.lakehouse.catalog import catalog_errors

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

_log = structlog.get_logger(__name__)
MAX_SNAPSHOT_AGE: Final = timedelta(hours=2)
MIN_SNAPSHOTS_TO_KEEP: Final = 100
"""Retained whatever their age: the offsets are merged from the newest 32 (``snapshot_offsets.py``)."""


@dataclass(frozen=True, slots=True)
class ExpiryResult:
    """Expired snapshots, and deleted files with their bytes."""

    snapshots: int = 0
    files: int = 0
    size: int = 0


def expire_snapshots(
    table: Table, now: datetime, *, max_age: timedelta = MAX_SNAPSHOT_AGE, min_snapshots: int = MIN_SNAPSHOTS_TO_KEEP
) -> ExpiryResult:
    """Expire the snapshots older than ``max_age``, but never the newest ``min_snapshots``, and delete their files.

    A crash between the two leaves files that nothing refers to; it never leaves a snapshot without its files.

    Raises:
        Unavailable: the catalog or the store does not answer; what was deleted stays deleted.
    """
    before = (now - max_age).timestamp() * 1000
    newest_first = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0, reverse=True)
    referenced = {ref.snapshot_id for ref in table.metadata.refs.values()}
    old = [
        snapshot
        for snapshot in newest_first[min_snapshots:]
        if snapshot.timestamp_ms < before and snapshot.snapshot_id not in referenced
    ]
    if not old:
        return ExpiryResult()
    with catalog_errors(f"expire snapshots of {table.name()[-1]}"):
        expired_ids = {snapshot.snapshot_id for snapshot in old}
        unneeded = _files_to_delete(
            old, [snapshot for snapshot in newest_first if snapshot.snapshot_id not in expired_ids], table.io
        )
        try:
            table.maintenance.expire_snapshots().by_ids([snapshot.snapshot_id for snapshot in old]).commit()
        except ValueError:  # another expiry was faster, and deletes the files
            return ExpiryResult()
        for path in unneeded:
            with suppress(FileNotFoundError):  # an earlier expiry crashed, or another one runs now
                table.io.delete(path)
    result = ExpiryResult(len(old), len(unneeded), sum(unneeded.values()))
    _log.info(
        "snapshots expired", table=table.name()[-1], snapshots=result.snapshots, files=result.files, size=result.size
    )
    return result


def _files_to_delete(old: Iterable[Snapshot], retained: Iterable[Snapshot], io: FileIO) -> Mapping[str, int]:
    """Path → bytes of the manifest lists, manifests and data files that no retained snapshot refers to."""
    retained_manifests = {
        manifest.manifest_path: manifest for snapshot in retained for manifest in snapshot.manifests(io)
    }
    expired_manifests: dict[str, ManifestFile] = {}
    found: dict[str, int] = {}
    for snapshot in old:
        for manifest in snapshot.manifests(io):
            if manifest.manifest_path not in retained_manifests:
                expired_manifests[manifest.manifest_path] = manifest
        found[snapshot.manifest_list] = len(io.new_input(snapshot.manifest_list))
    found |= {path: manifest.manifest_length for path, manifest in expired_manifests.items()}
    data = {path: size for manifest in expired_manifests.values() for path, size in _live_data_files(manifest, io)}
    if data:
        for manifest in retained_manifests.values():
            for path, _ in _live_data_files(manifest, io):
                data.pop(path, None)
    return found | data


def _live_data_files(manifest: ManifestFile, io: FileIO) -> Iterator[tuple[str, int]]:
    """The live data files of a manifest; those that it calls deleted belong to the snapshots before it."""
    for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
        yield entry.data_file.file_path, entry.data_file.file_size_in_bytes
