"""Small files of settled hours written anew as fewer, without changing a row, beside whoever else writes the table.

The archiver's commits leave a file for each hour and bucket, up to 240 an hour of each. One commit for each hour puts
one file (of up to the table's target size) in the place of the small ones of a partition:

1. Plan the small files of the hour, and read exactly these.
2. Write their rows.
3. Take the old files out and put the new ones in, in one snapshot of the kind OVERWRITE. Iceberg refuses it when an old
   file is no longer there, or when somebody wrote rows of this hour since: then again from the beginning.

The snapshot carries the log's offsets like any other. It is no APPEND, so nobody takes its rows for landed ones; and
for when it has expired, the name of each new file says up to which commit its rows had landed (:func:`landed_by`).
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog

from mmplatform.errors import Permanent
from mmplatform.land.lakehouse.arrow import within_hour
from mmplatform.land.lakehouse.catalog import catalog_errors
from mmplatform.land.lakehouse.hour_partition import HOUR, hour_at
from mmplatform.land.lakehouse.snapshot_offsets import offsets_of, summary_of

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestEntry
    from pyiceberg.table import Table

_log = structlog.get_logger(__name__)
SETTLED: Final = timedelta(hours=1)
"""After its end an hour still gets what was under way: calls' last words, a backlog."""
SMALL: Final = 32 * 1024 * 1024
"""Bytes; larger files gain nothing, and are not rewritten each day for a late row."""
COMPACTED: Final = "mmplatform.compacted"
"""A property of a table some of whose files may be compacted ones."""

_TRIES: Final = 5
_UUID_VERSION: Final = 8
"""What RFC 9562 leaves to those who make them; writers' own are of version 4."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of a table.

    Attributes:
        hours: that were rewritten.
        left: hours that others wrote to each time we tried; the next run finds them.
        files_before: files that were taken out; ``bytes_before``: theirs.
        files_after: files that were put in their place; ``bytes_after``: theirs.
        rewritten: rows that were written anew.
    """

    hours: int = 0
    left: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    rewritten: int = 0


_FIGURES: Final = tuple(each.name for each in fields(Compacted))


def compact(load: Callable[[], Table], now: datetime, *, settled: timedelta = SETTLED, small: int = SMALL) -> Compacted:
    """Rewrite every hour that ended ``settled`` ago and has two files below ``small`` bytes in a partition.

    Args:
        load: gives the table as it is now.
        now: the time, aware of UTC; the hour that is running is never touched.
        settled: how long ago an hour must have ended.
        small: bytes below which a file is worth joining with others.

    Raises:
        Permanent: the table is not as we write tables.
        Unavailable: the catalog or the store does not answer; each hour was rewritten entirely or not at all.
    """
    table = load()
    found = Compacted()
    with catalog_errors(f"compact {table.name()[-1]}"):
        hours = {_hour(group[0].data_file) for group in _groups(table, small)}
        for hour in sorted(each for each in hours if each + HOUR + settled <= now):
            done = _again_and_again(load, hour, small)
            if done is None:
                found = replace(found, left=found.left + 1)
            else:
                found = Compacted(**{name: getattr(found, name) + getattr(done, name) for name in _FIGURES})
    _log.info("compacted", table=table.name()[-1], hours=found.hours, files=found.files_before, to=found.files_after)
    return found


def landed_by(file: DataFile) -> int | None:
    """The sequence number of the newest commit that landed rows of a compacted file; ``None``: it is none."""
    try:
        name = UUID(PurePosixPath(file.file_path).stem[-36:])
    except ValueError:
        return None
    return name.int >> 80 if name.version == _UUID_VERSION else None


def _again_and_again(load: Callable[[], Table], hour: datetime, small: int) -> Compacted | None:
    from pyiceberg.exceptions import CommitFailedException, ValidationException

    for _ in range(_TRIES):
        try:
            return _once(load(), hour, small)
        except (CommitFailedException, ValidationException):
            _log.info("rows written meanwhile: again", hour=hour.isoformat())
    return None


def _once(table: Table, hour: datetime, small: int) -> Compacted:
    # 1.
    groups = _groups(table, small, hour)
    old = [entry.data_file for group in groups for entry in group]
    if not old:
        return Compacted()
    # 2.
    new = [file for group in groups for file in _rewritten(table, group)]
    # An older summary must not be the newest one that says how far the log is in the table.
    summary = summary_of(offsets_of(table))
    # 3.
    with table.transaction() as commit:
        if COMPACTED not in table.properties:
            commit.set_properties({COMPACTED: "true"})
        with commit.update_snapshot(snapshot_properties=summary).overwrite() as snapshot:
            snapshot.delete_by_predicate(within_hour(hour))  # what conflicts; which files go is said one by one
            for file in old:
                snapshot.delete_data_file(file)
            for file in new:
                snapshot.append_data_file(file)
    return Compacted(
        hours=1,
        files_before=len(old),
        files_after=len(new),
        bytes_before=sum(file.file_size_in_bytes for file in old),
        bytes_after=sum(file.file_size_in_bytes for file in new),
        rewritten=sum(file.record_count for file in new),
    )


def _rewritten(table: Table, group: Sequence[ManifestEntry]) -> list[DataFile]:
    """The rows of one partition's files, in new ones that nothing refers to yet."""
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files
    from pyiceberg.table import FileScanTask

    tasks = [FileScanTask(entry.data_file) for entry in group]
    rows = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue()).to_table(tasks)
    if rows.num_rows != sum(entry.data_file.record_count for entry in group):
        raise Permanent(f"lakehouse: files of {table.name()[-1]} hold other numbers of rows than their manifests say")
    newest = max(landed_by(entry.data_file) or entry.sequence_number or 0 for entry in group)
    return list(_dataframe_to_data_files(table_metadata=table.metadata, df=rows, io=table.io, write_uuid=_name(newest)))


def _groups(table: Table, small: int, hour: datetime | None = None) -> list[list[ManifestEntry]]:
    """The small files of each partition that has several, of one hour or of all."""
    found: dict[Any, list[ManifestEntry]] = defaultdict(list)
    for entry in _entries(table, hour):
        file = entry.data_file
        current = file.spec_id == table.spec().spec_id
        if current and file.file_size_in_bytes < small and hour in {None, _hour(file)}:
            found[file.partition].append(entry)
    return [group for group in found.values() if len(group) > 1]


def _entries(table: Table, hour: datetime | None) -> Iterator[ManifestEntry]:
    """The data files that are alive; of an hour only the manifests that may list some are opened."""
    from pyiceberg.expressions.visitors import inclusive_projection, manifest_evaluator
    from pyiceberg.manifest import ManifestContent

    snapshot = table.current_snapshot()
    manifests = snapshot.manifests(table.io) if snapshot is not None else []
    if any(each.content != ManifestContent.DATA for each in manifests):
        # Nobody here writes them; whoever does knows how to compact them.
        raise Permanent(f"lakehouse: {table.name()[-1]} has delete files: it is not compacted")
    for manifest in manifests:
        spec = table.specs()[manifest.partition_spec_id]
        if hour is not None:
            asked = inclusive_projection(table.schema(), spec)(within_hour(hour))
            if not manifest_evaluator(spec, table.schema(), asked)(manifest):
                continue
        yield from manifest.fetch_manifest_entry(table.io)


def _hour(file: DataFile) -> datetime:
    """Tables are partitioned by the hour first (``schemas.py``)."""
    return hour_at(int(file.partition[0]))


def _name(landed: int) -> UUID:
    """For a file's name: the number of the commit in the first 48 bits, then as random as any."""
    bits = landed << 80 | _UUID_VERSION << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=bits)
