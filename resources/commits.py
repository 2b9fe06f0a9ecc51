"""What landed in an Iceberg table, read from its own metadata: no row and no data file is opened.

A commit's manifests name the files that it added, with their row counts and the bounds of their columns: that tells
how many rows came for which hour, and how new the newest is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

MOST_COMMITS: Final = 200
"""Read at one time: a manifest takes about 2 ms on a local disk, more on S3, and a sensor has 60 s for everything."""

EVENT_TIME: Final = "event_time"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Commit:
    """One snapshot that added rows.

    Attributes:
        sequence: Iceberg's sequence number; grows with every commit of the table.
        rows: how many rows it added, by the hour of their event time.
        watermark: the newest event time among them; ``None`` where no statistics were written.
    """

    snapshot_id: int
    sequence: int
    committed_at: datetime
    rows: Mapping[datetime, int]
    watermark: datetime | None


@dataclass(frozen=True, slots=True)
class TableLog:
    """The commits of one table after a sequence number, oldest first.

    Attributes:
        table_uuid: tells this table from an earlier one of the same name.
        sequence: how far was read, commits that added no rows (compaction, expiry) included.
    """

    table_uuid: str
    sequence: int
    commits: tuple[Commit, ...]


def read_log(table: Table, after: Mapping[str, int]) -> TableLog:
    """Read at most :data:`MOST_COMMITS` commits; ``after`` says, by table uuid, how far the reader was."""
    uuid = str(table.metadata.table_uuid)
    seen = after.get(uuid, 0)
    later = sorted(
        (snapshot for snapshot in table.metadata.snapshots if _sequence(snapshot) > seen),
        key=_sequence,
    )[:MOST_COMMITS]
    commits = tuple(commit for snapshot in later for commit in _commit(table, snapshot))
    return TableLog(uuid, _sequence(later[-1]) if later else seen, commits)


def _sequence(snapshot: Snapshot) -> int:
    return snapshot.sequence_number or 0


def _commit(table: Table, snapshot: Snapshot) -> Iterator[Commit]:
    from pyiceberg.table.snapshots import Operation

    # Only what the archiver does: a delete that rewrites a file adds rows too, and none of them is new.
    if snapshot.summary is None or snapshot.summary.operation != Operation.APPEND:
        return
    column = table.schema().find_field(EVENT_TIME).field_id
    rows: Counter[datetime] = Counter()
    newest: list[datetime] = []
    for file in _added(table, snapshot):
        # Tables are partitioned by the hour, so that the oldest row's hour is every row's.
        if oldest := file.lower_bounds.get(column):
            rows[_moment(oldest).replace(minute=0, second=0, microsecond=0)] += file.record_count
        if bound := file.upper_bounds.get(column):
            newest.append(_moment(bound))
    if rows:
        yield Commit(
            snapshot_id=snapshot.snapshot_id,
            sequence=_sequence(snapshot),
            committed_at=_EPOCH + timedelta(milliseconds=snapshot.timestamp_ms),
            rows=rows,
            watermark=max(newest, default=None),
        )


def _moment(bound: bytes) -> datetime:
    """A column bound of a timestamp: microseconds since 1970, eight bytes, little end first."""
    return _EPOCH + timedelta(microseconds=int.from_bytes(bound, "little", signed=True))


def _added(table: Table, snapshot: Snapshot) -> Iterator[DataFile]:
    from pyiceberg.manifest import DataFileContent, ManifestEntryStatus

    for manifest in snapshot.manifests(table.io):
        if manifest.added_snapshot_id != snapshot.snapshot_id:
            continue
        for entry in manifest.fetch_manifest_entry(table.io):
            file = entry.data_file
            if entry.status == ManifestEntryStatus.ADDED and file.content == DataFileContent.DATA:
                yield file
