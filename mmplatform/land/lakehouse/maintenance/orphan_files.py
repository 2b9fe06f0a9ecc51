"""Deletes orphan files: files in a table's folder that no snapshot refers to, left by a crash or a lost race.

A writer writes its files first and commits them last, and a commit that was overtaken leaves its metadata file. So a
file is an orphan only when nothing refers to it and it is older than any commit can last. The folder is listed before
the metadata is read: a file that is committed in between is referred to.

Only Iceberg's kinds of files are checked, only in the table's folders ``data`` and ``metadata``, and never where
another table lies inside: its files belong to another owner. Nor where a table of another catalog lies in the very
same folder, as after a lost catalog whose tables were created again: to the new catalog all files of the old one are
unreferenced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from mmplatform.errors import Misconfigured
from mmplatform.land.lakehouse.catalog import catalog_errors

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table

_log = structlog.get_logger(__name__)
DEFAULT_AGE: Final = timedelta(days=1)
MIN_AGE: Final = timedelta(hours=1)
"""Ten attempts of a commit end within a minute; an hour leaves room for a wrong clock."""

_FILE_SUFFIXES: Final = {"data": (".parquet",), "metadata": (".avro", ".metadata.json")}


@dataclass(frozen=True, slots=True)
class OrphanCleanup:
    """Deleted files and their bytes. ``young``: unreferenced files that were left because of their age."""

    files: int = 0
    size: int = 0
    young: int = 0


@dataclass(frozen=True, slots=True)
class _ListedFile:
    path: str
    size: int
    written_at: datetime


def delete_orphans(
    load: Callable[[], Table], now: datetime, *, other_locations: Iterable[str] = (), age: timedelta = DEFAULT_AGE
) -> OrphanCleanup:
    """Delete the files of a table that are older than ``age`` and that nothing refers to.

    Args:
        load: loads the current state of the table; called again after the folder was listed.
        now: the time, aware of UTC.
        other_locations: of the other tables; one inside this table's folder forbids the cleanup.
        age: how old a file must be; an hour at least.

    Raises:
        ValueError: ``age`` is less than :data:`MIN_AGE`.
        Misconfigured: the table's folder holds another table, also one that another catalog has or had there, or its
            store cannot be listed; nothing was deleted.
        Unavailable: the catalog or the store does not answer; what was deleted stays deleted.
    """
    if age < MIN_AGE:
        raise ValueError(f"a file younger than {MIN_AGE} may belong to a commit that is under way")
    table = load()
    name = table.name()[-1]
    with catalog_errors(f"find orphans of {name}"):
        root = _plain_path(table, table.location())
        if any(
            _plain_path(table, location).startswith(f"{root}/") or _plain_path(table, location) == root
            for location in other_locations
        ):
            raise Misconfigured(f"lakehouse: the folder of {name} holds another table: no orphans are deleted")
        # The order is the guarantee: first the folder, then the references.
        listed = list(_list_files(table, root))
        table = load()
        referenced = _referenced_paths(table)
        unreferenced = [file for file in listed if file.path not in referenced]
        _check_ownership(table, root, unreferenced)
        old = [file for file in unreferenced if now - file.written_at > age]
        for file in old:
            with suppress(FileNotFoundError):
                _file_system(table).delete_file(file.path)
    cleanup = OrphanCleanup(len(old), sum(file.size for file in old), len(unreferenced) - len(old))
    _log.info("orphans deleted", table=name, files=cleanup.files, size=cleanup.size, young=cleanup.young)
    return cleanup


def _referenced_paths(table: Table) -> set[str]:
    """Plain paths of everything that the metadata or any snapshot refers to."""
    metadata = table.metadata
    found = {table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    found |= {statistics.statistics_path for statistics in (*metadata.statistics, *metadata.partition_statistics)}
    manifests: dict[str, ManifestFile] = {}
    for snapshot in metadata.snapshots:
        found.add(snapshot.manifest_list)
        manifests |= {manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)}
    for path, manifest in manifests.items():
        found.add(path)
        # A file that one manifest calls deleted may be live in an older snapshot, by another manifest.
        found |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return {_plain_path(table, path) for path in found}


def _check_ownership(table: Table, root: str, unreferenced: Iterable[_ListedFile]) -> None:
    """Raise Misconfigured where an unreferenced file belongs to a table of another catalog, whatever its age."""
    name, own_uuid = table.name()[-1], str(table.metadata.table_uuid)
    for file in unreferenced:
        if file.path.endswith(".metadata.json") and (other_uuid := _table_uuid(table, file.path)) not in {
            None,
            own_uuid,
        }:
            raise Misconfigured(
                f"lakehouse: the folder {root} of {name} also holds the table {other_uuid} of another catalog: no "
                f"orphans are deleted; bring the catalog back that lists {other_uuid}, or give this one a warehouse of "
                "its own "
                "(MMPLATFORM_ICEBERG_WAREHOUSE, MMPLATFORM_ICEBERG_NAMESPACE)"
            )
    created_at = _created_at(table)
    rows = (file for file in unreferenced if file.path.endswith(".parquet") and file.written_at < created_at)
    if not table.metadata.snapshots and any(rows):
        raise Misconfigured(
            f"lakehouse: {name} is empty, and its folder {root} holds rows that are older than it: no orphans are "
            "deleted; bring the catalog back that refers to them, or move them away"
        )


def _table_uuid(table: Table, path: str) -> str | None:
    """The table of a metadata file; ``None`` where it is torn, or was deleted meanwhile by a commit."""
    packed = "gzip" if path.endswith(".gz.metadata.json") else None
    try:
        with _file_system(table).open_input_stream(path, compression=packed) as file:
            found = json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return None
    return str(found["table-uuid"]) if isinstance(found, dict) and "table-uuid" in found else None


def _created_at(table: Table) -> datetime:
    """Time of the table's creation, if it was never written to; a later time otherwise."""
    times = [table.metadata.last_updated_ms, *(entry.timestamp_ms for entry in table.metadata.metadata_log)]
    return datetime.fromtimestamp(min(times) / 1000, UTC)


def _list_files(table: Table, root: str) -> Iterator[_ListedFile]:
    """Files of the known kinds in the table's folders, by the table's own file system: S3 and disk alike."""
    from pyarrow.fs import FileSelector, FileType

    files = _file_system(table)
    for folder, kinds in _FILE_SUFFIXES.items():
        for info in files.get_file_info(FileSelector(f"{root}/{folder}", allow_not_found=True, recursive=True)):
            if info.type == FileType.File and info.path.endswith(kinds) and info.mtime is not None:
                yield _ListedFile(info.path, info.size, info.mtime.astimezone(UTC))


def _file_system(table: Table) -> Any:
    from pyiceberg.io.pyarrow import PyArrowFileIO

    if not isinstance(table.io, PyArrowFileIO):
        raise Misconfigured(f"lakehouse: {type(table.io).__name__} cannot list the files of {table.name()[-1]}")
    scheme, netloc, _ = PyArrowFileIO.parse_location(table.location(), table.io.properties)
    return table.io.fs_by_scheme(scheme, netloc)


def _plain_path(table: Table, location: str) -> str:
    """A location in the file system's form: without scheme, ``bucket/key`` on S3."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    return PyArrowFileIO.parse_location(location, table.io.properties)[2].rstrip("/")
