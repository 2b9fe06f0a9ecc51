"""Old snapshots of a table, and the files that only they needed, taken away.

Every commit of the archiver is a snapshot: at one each 15 s a table has 5,760 a day, and each later commit reads and
writes the metadata of all of them. What a row replaced or a retraction removed also stays readable in an old snapshot's
files until those files are gone. pyiceberg's own expiry forgets the snapshots and leaves the files.

Safe beside writers: a writer builds on the newest snapshot, which is always kept. A reader of an older snapshot has
``keep`` to finish.
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
KEEP: Final = timedelta(hours=2)
LEAST: Final = 100
"""Snapshots that stay however old they are: the offsets are merged from the newest 32 (``landed.py``)."""


@dataclass(frozen=True, slots=True)
class Expired:
    """What went: snapshots, and files with their bytes."""

    snapshots: int = 0
    files: int = 0
    size: int = 0


def expire(table: Table, now: datetime, *, keep: timedelta = KEEP, least: int = LEAST) -> Expired:
    """Forget the snapshots older than ``keep``, but never the newest ``least``, and delete the files only they needed.

    A crash between the two leaves files that nothing refers to; it never leaves a snapshot without its files.

    Raises:
        Unavailable: the catalog or the store does not answer; what was deleted stays deleted.
    """
    before = (now - keep).timestamp() * 1000
    newest_first = sorted(table.metadata.snapshots, key=lambda each: each.sequence_number or 0, reverse=True)
    held = {ref.snapshot_id for ref in table.metadata.refs.values()}
    old = [each for each in newest_first[least:] if each.timestamp_ms < before and each.snapshot_id not in held]
    if not old:
        return Expired()
    with catalog_errors(f"expire snapshots of {table.name()[-1]}"):
        gone = {each.snapshot_id for each in old}
        unneeded = _only_needed_by(old, [each for each in newest_first if each.snapshot_id not in gone], table.io)
        try:
            table.maintenance.expire_snapshots().by_ids([each.snapshot_id for each in old]).commit()
        except ValueError:  # another one beside us was quicker, and deletes the files
            return Expired()
        for path in unneeded:
            with suppress(FileNotFoundError):  # an expiry that crashed half-way, or another one beside us
                table.io.delete(path)
    found = Expired(len(old), len(unneeded), sum(unneeded.values()))
    _log.info(
        "snapshots expired", table=table.name()[-1], snapshots=found.snapshots, files=found.files, size=found.size
    )
    return found


def _only_needed_by(old: Iterable[Snapshot], kept: Iterable[Snapshot], io: FileIO) -> Mapping[str, int]:
    """Path → bytes of the manifest lists, manifests and data files that no kept snapshot refers to."""
    needed = {manifest.manifest_path: manifest for snapshot in kept for manifest in snapshot.manifests(io)}
    spare: dict[str, ManifestFile] = {}
    found: dict[str, int] = {}
    for snapshot in old:
        for manifest in snapshot.manifests(io):
            if manifest.manifest_path not in needed:
                spare[manifest.manifest_path] = manifest
        found[snapshot.manifest_list] = len(io.new_input(snapshot.manifest_list))
    found |= {path: manifest.manifest_length for path, manifest in spare.items()}
    data = {path: size for manifest in spare.values() for path, size in _files(manifest, io)}
    if data:
        for manifest in needed.values():
            for path, _ in _files(manifest, io):
                data.pop(path, None)
    return found | data


def _files(manifest: ManifestFile, io: FileIO) -> Iterator[tuple[str, int]]:
    """The live data files of a manifest; those that it calls deleted belong to the snapshots before it."""
    for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
        yield entry.data_file.file_path, entry.data_file.file_size_in_bytes
