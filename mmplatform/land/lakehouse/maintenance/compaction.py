"""Compaction: rewrites small files of settled hours as fewer, without changing a row, while others write the table.

The archiver's commits leave a file for each hour and bucket, up to 240 an hour of each. One commit for each hour
replaces the small files of a partition by one (of up to the table's target size):

1. Plan the small files of the hour, and read exactly these.
2. Write their rows.
3. Replace the old files by the new ones in one OVERWRITE snapshot. Iceberg refuses it when an old file is missing, or
   when another writer added rows of this hour since: then start again from 1.

The snapshot carries the log's offsets like any other. It is no APPEND, so its rows do not count as landed. After it has
expired, the name of each new file says up to which commit its rows had landed (:func:`landed_sequence`).
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
from mmplatform.land.lakehouse.arrow import hour_filter
from mmplatform.land.lakehouse.catalog import catalog_errors
from mmplatform.land.lakehouse.hour_partition import HOUR, hour_start
from mmplatform.land.lakehouse.snapshot_offsets import offsets_to_summary, read_offsets

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestEntry
    from pyiceberg.table import Table

_log = structlog.get_logger(__name__)
SETTLE_TIME: Final = timedelta(hours=1)
"""After its end an hour still gets rows in flight: the last utterances of calls, a backlog."""
SMALL_FILE_BYTES: Final = 32 * 1024 * 1024
"""Larger files gain nothing, and are not rewritten each day for a late row."""
COMPACTED_PROPERTY: Final = "mmplatform.compacted"
"""A property of a table that may have compacted files."""

_MAX_ATTEMPTS: Final = 5
_UUID_VERSION: Final = 8
"""RFC 9562's version for custom layouts; the UUIDs of other writers are of version 4."""


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """Result of a compaction.

    Attributes:
        hours: rewritten hours.
        left: hours to which others wrote at each attempt; the next run retries them.
        files_before: replaced files; ``bytes_before``: their size.
        files_after: new files; ``bytes_after``: their size.
        rewritten: rewritten rows.
    """

    hours: int = 0
    left: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    rewritten: int = 0


_RESULT_FIELDS: Final = tuple(field.name for field in fields(CompactionResult))


def compact(
    load: Callable[[], Table],
    now: datetime,
    *,
    settle_time: timedelta = SETTLE_TIME,
    small_bytes: int = SMALL_FILE_BYTES,
) -> CompactionResult:
    """Rewrite every hour that ended ``settle_time`` ago and has two files below ``small_bytes`` in a partition.

    Args:
        load: loads the current state of the table.
        now: the time, aware of UTC; the running hour is never rewritten.
        settle_time: the minimum time since the hour's end.
        small_bytes: below this size a file is merged with others.

    Raises:
        Permanent: the table is not as the platform writes tables.
        Unavailable: the catalog or the store does not answer; each hour was rewritten entirely or not at all.
    """
    table = load()
    total = CompactionResult()
    with catalog_errors(f"compact {table.name()[-1]}"):
        hours = {_hour(group[0].data_file) for group in _small_file_groups(table, small_bytes)}
        for hour in sorted(start for start in hours if start + HOUR + settle_time <= now):
            result = _compact_hour(load, hour, small_bytes)
            if result is None:
                total = replace(total, left=total.left + 1)
            else:
                total = CompactionResult(
                    **{name: getattr(total, name) + getattr(result, name) for name in _RESULT_FIELDS}
                )
    _log.info("compacted", table=table.name()[-1], hours=total.hours, files=total.files_before, to=total.files_after)
    return total


def landed_sequence(file: DataFile) -> int | None:
    """The sequence number of the newest commit that landed rows of a compacted file; ``None``: it is none."""
    try:
        name = UUID(PurePosixPath(file.file_path).stem[-36:])
    except ValueError:
        return None
    return name.int >> 80 if name.version == _UUID_VERSION else None


def _compact_hour(load: Callable[[], Table], hour: datetime, small: int) -> CompactionResult | None:
    from pyiceberg.exceptions import CommitFailedException, ValidationException

    for _ in range(_MAX_ATTEMPTS):
        try:
            return _try_compact_hour(load(), hour, small)
        except (CommitFailedException, ValidationException):
            _log.info("rows were written meanwhile: trying again", hour=hour.isoformat())
    return None


def _try_compact_hour(table: Table, hour: datetime, small: int) -> CompactionResult:
    # 1.
    groups = _small_file_groups(table, small, hour)
    old = [entry.data_file for group in groups for entry in group]
    if not old:
        return CompactionResult()
    # 2.
    new = [file for group in groups for file in _rewrite(table, group)]
    # Without it an older summary would be the newest one with the landed offsets.
    summary = offsets_to_summary(read_offsets(table))
    # 3.
    with table.transaction() as commit:
        if COMPACTED_PROPERTY not in table.properties:
            commit.set_properties({COMPACTED_PROPERTY: "true"})
        with commit.update_snapshot(snapshot_properties=summary).overwrite() as snapshot:
            snapshot.delete_by_predicate(
                hour_filter(hour)
            )  # detects conflicts; the files to delete are named one by one
            for file in old:
                snapshot.delete_data_file(file)
            for file in new:
                snapshot.append_data_file(file)
    return CompactionResult(
        hours=1,
        files_before=len(old),
        files_after=len(new),
        bytes_before=sum(file.file_size_in_bytes for file in old),
        bytes_after=sum(file.file_size_in_bytes for file in new),
        rewritten=sum(file.record_count for file in new),
    )


def _rewrite(table: Table, group: Sequence[ManifestEntry]) -> list[DataFile]:
    """Write the rows of one partition's files to new ones, which no snapshot refers to yet."""
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files
    from pyiceberg.table import FileScanTask

    tasks = [FileScanTask(entry.data_file) for entry in group]
    rows = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue()).to_table(tasks)
    if rows.num_rows != sum(entry.data_file.record_count for entry in group):
        raise Permanent(f"lakehouse: files of {table.name()[-1]} hold other numbers of rows than their manifests say")
    newest = max(landed_sequence(entry.data_file) or entry.sequence_number or 0 for entry in group)
    return list(
        _dataframe_to_data_files(table_metadata=table.metadata, df=rows, io=table.io, write_uuid=_write_uuid(newest))
    )


def _small_file_groups(table: Table, small: int, hour: datetime | None = None) -> list[list[ManifestEntry]]:
    """The small files of each partition that has several, of one hour or of all."""
    found: dict[Any, list[ManifestEntry]] = defaultdict(list)
    for entry in _live_entries(table, hour):
        file = entry.data_file
        current = file.spec_id == table.spec().spec_id
        if current and file.file_size_in_bytes < small and hour in {None, _hour(file)}:
            found[file.partition].append(entry)
    return [group for group in found.values() if len(group) > 1]


def _live_entries(table: Table, hour: datetime | None) -> Iterator[ManifestEntry]:
    """The live data files; for one hour only the manifests that may list its files are opened."""
    from pyiceberg.expressions.visitors import inclusive_projection, manifest_evaluator
    from pyiceberg.manifest import ManifestContent

    snapshot = table.current_snapshot()
    manifests = snapshot.manifests(table.io) if snapshot is not None else []
    if any(manifest.content != ManifestContent.DATA for manifest in manifests):
        # The platform does not write them; their writer has to compact them.
        raise Permanent(f"lakehouse: {table.name()[-1]} has delete files: it is not compacted")
    for manifest in manifests:
        spec = table.specs()[manifest.partition_spec_id]
        if hour is not None:
            asked = inclusive_projection(table.schema(), spec)(hour_filter(hour))
            if not manifest_evaluator(spec, table.schema(), asked)(manifest):
                continue
        yield from manifest.fetch_manifest_entry(table.io)


def _hour(file: DataFile) -> datetime:
    """Tables are partitioned by the hour first (``schemas.py``)."""
    return hour_start(int(file.partition[0]))


def _write_uuid(sequence: int) -> UUID:
    """The UUID for a file's name: the commit's sequence number in the first 48 bits, the rest is random."""
    bits = sequence << 80 | _UUID_VERSION << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=bits)
