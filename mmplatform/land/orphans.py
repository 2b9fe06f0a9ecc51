"""Files in a table's folder that no snapshot refers to, found and deleted: what a crash or a lost race left behind.

A writer writes its files first and commits them last, and a commit that another one overtook leaves its metadata file.
So a file is only taken for an orphan when nothing refers to it and it is older than any commit can last. The folder is
listed before the metadata is read: what is committed in between is referred to.

Only files of our kinds are looked at, only in the folders ``data`` and ``metadata`` of the table, and never where
another table lies inside: what somebody else keeps there is not ours to delete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from mmplatform.errors import Misconfigured
from mmplatform.land.catalogs import catalog_errors

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table

_log = structlog.get_logger(__name__)
SAFE_AGE: Final = timedelta(days=1)
LEAST_AGE: Final = timedelta(hours=1)
"""A commit that is tried ten times is over within a minute; an hour leaves room for a clock that is wrong."""

_KINDS: Final = {"data": (".parquet",), "metadata": (".avro", ".metadata.json")}


@dataclass(frozen=True, slots=True)
class Orphans:
    """What was deleted: files and their bytes. ``young``: unreferenced files that were left because of their age."""

    files: int = 0
    size: int = 0
    young: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int
    written_at: datetime


def delete_orphans(
    load: Callable[[], Table], now: datetime, *, others: Iterable[str] = (), age: timedelta = SAFE_AGE
) -> Orphans:
    """Delete the files of a table that are older than ``age`` and that nothing refers to.

    Args:
        load: gives the table as it is now; called again after the folder was listed.
        now: the time, aware of UTC.
        others: locations of the other tables; one inside this table's folder makes it nobody's to clean.
        age: how old a file must be; an hour at least.

    Raises:
        ValueError: ``age`` is less than :data:`LEAST_AGE`.
        Misconfigured: the table's folder holds another table, or its store cannot be listed.
        Unavailable: the catalog or the store does not answer; what was deleted stays deleted.
    """
    if age < LEAST_AGE:
        raise ValueError(f"a file younger than {LEAST_AGE} may belong to a commit that is under way")
    table = load()
    name = table.name()[-1]
    with catalog_errors(f"find orphans of {name}"):
        root = _plain(table, table.location())
        if any(_plain(table, each).startswith(f"{root}/") or _plain(table, each) == root for each in others):
            raise Misconfigured(f"lakehouse: the folder of {name} holds another table: orphans are not looked for")
        # The order is the guarantee: first the folder, then what is referred to.
        there = list(_listed(table, root))
        needed = _needed(load())
        spare = [file for file in there if file.path not in needed]
        old = [file for file in spare if now - file.written_at > age]
        for file in old:
            with suppress(FileNotFoundError):
                _file_system(table).delete_file(file.path)
    found = Orphans(len(old), sum(file.size for file in old), len(spare) - len(old))
    _log.info("orphans deleted", table=name, files=found.files, size=found.size, young=found.young)
    return found


def _needed(table: Table) -> set[str]:
    """Plain paths of everything that the metadata or any snapshot refers to."""
    metadata = table.metadata
    found = {table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    found |= {each.statistics_path for each in (*metadata.statistics, *metadata.partition_statistics)}
    manifests: dict[str, ManifestFile] = {}
    for snapshot in metadata.snapshots:
        found.add(snapshot.manifest_list)
        manifests |= {each.manifest_path: each for each in snapshot.manifests(table.io)}
    for path, manifest in manifests.items():
        found.add(path)
        # Those that a manifest calls deleted may be alive in an older snapshot, by another manifest: that one counts.
        found |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return {_plain(table, path) for path in found}


def _listed(table: Table, root: str) -> Iterator[_File]:
    """The files of our kinds in the table's folders, by the table's own file system: S3 and a disk alike."""
    from pyarrow.fs import FileSelector, FileType

    files = _file_system(table)
    for folder, kinds in _KINDS.items():
        for info in files.get_file_info(FileSelector(f"{root}/{folder}", allow_not_found=True, recursive=True)):
            if info.type == FileType.File and info.path.endswith(kinds) and info.mtime is not None:
                yield _File(info.path, info.size, info.mtime.astimezone(UTC))


def _file_system(table: Table) -> Any:
    from pyiceberg.io.pyarrow import PyArrowFileIO

    if not isinstance(table.io, PyArrowFileIO):
        raise Misconfigured(f"lakehouse: {type(table.io).__name__} cannot list the files of {table.name()[-1]}")
    scheme, netloc, _ = PyArrowFileIO.parse_location(table.location(), table.io.properties)
    return table.io.fs_by_scheme(scheme, netloc)


def _plain(table: Table, location: str) -> str:
    """A location as the file system calls it: without scheme, ``bucket/key`` on S3."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    return PyArrowFileIO.parse_location(location, table.io.properties)[2].rstrip("/")
