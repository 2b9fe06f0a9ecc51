"""Files in a table's folder that no snapshot refers to, found and deleted: what a crash or a lost race left behind.

A writer writes its files first and commits them last, and a commit that another one overtook leaves its metadata file.
So a file is only taken for an orphan when nothing refers to it and it is older than any commit can last. The folder is
listed before the metadata is read: what is committed in between is referred to.

Only files of our kinds are looked at, only in the folders ``data`` and ``metadata`` of the table, and never where
another table lies inside: what somebody else keeps there is not ours to delete. Nor where a table of another catalog
lies in the very same folder, which is what a lost catalog looks like once its tables were made anew: to the new one all
files of the old one are spare.
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
        Misconfigured: the table's folder holds another table, also one that another catalog has or had there, or its
            store cannot be listed; nothing was deleted.
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
        table = load()
        needed = _needed(table)
        spare = [file for file in there if file.path not in needed]
        _refuse_of_others(table, root, spare)
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


def _refuse_of_others(table: Table, root: str, spare: Iterable[_File]) -> None:
    """Raises Misconfigured where a spare file belongs to a table of another catalog, whatever its age."""
    name, ours = table.name()[-1], str(table.metadata.table_uuid)
    for file in spare:
        if file.path.endswith(".metadata.json") and (theirs := _uuid_in(table, file.path)) not in {None, ours}:
            raise Misconfigured(
                f"lakehouse: the folder {root} of {name} also holds the table {theirs} of another catalog: no orphans "
                f"are deleted; bring the catalog back that lists {theirs}, or give this one a warehouse of its own "
                "(MMPLATFORM_ICEBERG_WAREHOUSE, MMPLATFORM_ICEBERG_NAMESPACE)"
            )
    made_at = _made_at(table)
    rows = (file for file in spare if file.path.endswith(".parquet") and file.written_at < made_at)
    if not table.metadata.snapshots and any(rows):
        raise Misconfigured(
            f"lakehouse: {name} is empty, and its folder {root} holds rows that are older than it: no orphans are "
            "deleted; bring the catalog back that refers to them, or move them away"
        )


def _uuid_in(table: Table, path: str) -> str | None:
    """Which table a metadata file is of; ``None`` where it is torn, or went meanwhile with a commit of ours."""
    packed = "gzip" if path.endswith(".gz.metadata.json") else None
    try:
        with _file_system(table).open_input_stream(path, compression=packed) as file:
            found = json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return None
    return str(found["table-uuid"]) if isinstance(found, dict) and "table-uuid" in found else None


def _made_at(table: Table) -> datetime:
    """When the table was made, if it was never written to; later else."""
    times = [table.metadata.last_updated_ms, *(entry.timestamp_ms for entry in table.metadata.metadata_log)]
    return datetime.fromtimestamp(min(times) / 1000, UTC)


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
