"""Commits of an Iceberg table, read from its own metadata: no row and no data file is opened.

A commit's manifests name the files that it added, with their row counts and the bounds of their columns: these give
the number of rows by hour, and the newest event time.

Old snapshots expire, and their commits cannot be read one by one any more. The files that they added remain, and the
oldest retained snapshot lists each with the sequence number of its commit. A reader that paused for longer than
snapshots are retained, or that is new, counts them there: no row is left out. Rows that an expired commit merely
rewrote (a deletion rewrites the rest of its file) cannot be distinguished from rows that landed then, and count too.
Compacted files name the last commit whose rows they hold: they count for a reader that had not read that commit.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from mmplatform.land.lakehouse.hour_partition import hour_start
from mmplatform.land.lakehouse.maintenance.compaction import COMPACTED_PROPERTY, landed_sequence
from mmplatform.land.lakehouse.snapshot_offsets import REPLACED_PROPERTY, renewals_from_snapshot

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestEntry, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

EVENT_TIME: Final = "event_time"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TableCommit:
    """Rows that one commit added, or several that have expired.

    Attributes:
        snapshot_id: the first retained snapshot that holds the rows.
        sequence: Iceberg's sequence number; grows with every commit of the table.
        committed_at: when that snapshot was made.
        rows: how many new rows there are, by the hour of their event time; 0 for an hour whose rows were only replaced.
        watermark: the newest event time among them; ``None`` where no statistics were written.
        replaced: how many rows replaced one with the same id, by hour, as far as their writer recorded it.
        sizes: bytes of the files that were added, by hour.
        files: those files, by hour, when the stream wrote them; none of expired commits and of reprocessing, whose
            stamps do not measure freshness.
    """

    snapshot_id: int
    sequence: int
    committed_at: datetime
    rows: Mapping[datetime, int]
    watermark: datetime | None
    replaced: Mapping[datetime, int] = field(default_factory=dict)
    sizes: Mapping[datetime, int] = field(default_factory=dict)
    files: Mapping[datetime, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableCommits:
    """Commits of one table after a sequence number, oldest first, up to the last one read.

    Attributes:
        table_uuid: distinguishes this table from an earlier one of the same name.
        sequence: that of the last commit read, including commits that added no rows (compaction, deletion).
    """

    table_uuid: str
    sequence: int
    commits: tuple[TableCommit, ...]


class CommitReader:
    """Reads the commits of one table as it was loaded, step by step, so that the caller may stop after any of them."""

    def __init__(self, table: Table, after: Mapping[str, int]) -> None:
        """``after``: the last sequence number read, by table uuid."""
        self._uuid = str(table.metadata.table_uuid)
        self._sequence = after.get(self._uuid, 0)
        self._commits: list[TableCommit] = []
        self._remaining = _commits(table, self._sequence)

    def step(self) -> bool:
        """Read one more commit; false when there is none. Takes about 2 ms on a local disk, 0.1 s and more on S3."""
        commit = next(self._remaining, None)
        if commit is None:
            return False
        self._sequence = commit.sequence
        if commit.rows:
            self._commits.append(commit)
        return True

    def result(self) -> TableCommits:
        """The commits read so far."""
        return TableCommits(self._uuid, self._sequence, tuple(self._commits))


def _commits(table: Table, seen: int) -> Iterator[TableCommit]:
    """The commits after ``seen``, oldest first, including those without rows: they advance the reader too."""
    for snapshot in sorted(table.metadata.snapshots, key=_sequence):
        sequence = _sequence(snapshot)
        if sequence <= seen:
            continue
        if sequence > seen + 1:
            yield from _expired_commits(table, snapshot, seen)
        yield _retained_commit(table, snapshot)
        seen = sequence


def _expired_commits(table: Table, snapshot: Snapshot, seen: int) -> Iterator[TableCommit]:
    """Rows that landed after ``seen`` and before ``snapshot``, in commits whose own snapshots have expired.

    Manifests are read in the order of the oldest file in each: everything older than the next manifest's oldest file
    is then complete, and the reader may stop there.
    """
    from pyiceberg.manifest import ManifestEntryStatus

    end = _sequence(snapshot)
    manifests = sorted(_older_manifests(table, snapshot, seen), key=lambda pair: pair[0])
    complete = [*(oldest - 1 for oldest, _ in manifests[1:]), end - 1]
    if COMPACTED_PROPERTY in table.properties:
        # Manifests do not say when the rows of compacted files landed: all are read first.
        complete[:-1] = [seen] * (len(complete) - 1)
    pending: list[ManifestEntry] = []
    for (_, manifest), until in zip(manifests, complete, strict=False):
        # Files that this snapshot itself removed existed until then. Those that earlier ones removed are lost.
        own = manifest.added_snapshot_id == snapshot.snapshot_id
        entries = manifest.fetch_manifest_entry(table.io, discard_deleted=not own)
        # Files that it added hold rows of earlier files, or are counted as its own.
        entries = [entry for entry in entries if not (own and entry.status == ManifestEntryStatus.ADDED)]
        pending += [entry for entry in entries if seen < _entry_sequence(entry) < end]
        if until > seen:
            counted = _count_rows(
                table, snapshot, until, (entry for entry in pending if _entry_sequence(entry) <= until)
            )
            yield replace(counted, files={})
            pending = [entry for entry in pending if _entry_sequence(entry) > until]
            seen = until


def _older_manifests(table: Table, snapshot: Snapshot, seen: int) -> Iterator[tuple[int, ManifestFile]]:
    """The manifests that may list files of the expired commits, each with the oldest sequence number of these."""
    from pyiceberg.manifest import ManifestContent

    for manifest in snapshot.manifests(table.io):
        if manifest.content != ManifestContent.DATA or manifest.sequence_number <= seen:
            continue
        # The minimum sequence number of a manifest does not cover the files that it lists as deleted.
        deletes = manifest.added_snapshot_id == snapshot.snapshot_id and manifest.deleted_files_count
        oldest = seen + 1 if deletes else max(manifest.min_sequence_number, seen + 1)
        if oldest < _sequence(snapshot):
            yield oldest, manifest


def _added_files(table: Table, snapshot: Snapshot) -> Iterator[ManifestEntry]:
    """The files that a snapshot added, if it is an append.

    A replaced row makes two snapshots of one transaction: the deletion of the old row, then the append.
    """
    from pyiceberg.manifest import ManifestEntryStatus
    from pyiceberg.table.snapshots import Operation

    # Only appends: a deletion that rewrites a file adds rows too, but no new ones.
    if snapshot.summary is None or snapshot.summary.operation != Operation.APPEND:
        return
    for manifest in snapshot.manifests(table.io):
        if manifest.added_snapshot_id == snapshot.snapshot_id:
            entries = manifest.fetch_manifest_entry(table.io)
            yield from (entry for entry in entries if entry.status == ManifestEntryStatus.ADDED)


def _retained_commit(table: Table, snapshot: Snapshot) -> TableCommit:
    """Rows that a retained snapshot added; its writer has recorded which of them replaced others."""
    counted = _count_rows(table, snapshot, _sequence(snapshot), _added_files(table, snapshot))
    renewed = {hour_start(hour): rows for hour, rows in renewals_from_snapshot(snapshot).items()}
    replaced = {hour: min(renewed.get(hour, 0), rows) for hour, rows in counted.rows.items()}
    reprocessed = snapshot.summary is not None and REPLACED_PROPERTY in snapshot.summary.additional_properties
    return replace(
        counted,
        rows={hour: rows - replaced[hour] for hour, rows in counted.rows.items()},
        replaced={hour: rows for hour, rows in replaced.items() if rows},
        files={} if reprocessed else counted.files,
    )


def _count_rows(table: Table, snapshot: Snapshot, sequence: int, entries: Iterable[ManifestEntry]) -> TableCommit:
    from pyiceberg.manifest import DataFileContent

    column = table.schema().find_field(EVENT_TIME).field_id
    rows: Counter[datetime] = Counter()
    sizes: Counter[datetime] = Counter()
    files: dict[datetime, list[str]] = defaultdict(list)
    newest: list[datetime] = []
    for entry in entries:
        file = entry.data_file
        if file.content != DataFileContent.DATA:
            continue
        # Tables are partitioned by the hour: all rows of a file have the hour of the oldest.
        if oldest := file.lower_bounds.get(column):
            hour = timestamp_from_bound(oldest).replace(minute=0, second=0, microsecond=0)
            rows[hour] += file.record_count
            sizes[hour] += file.file_size_in_bytes
            files[hour].append(file.file_path)
        if bound := file.upper_bounds.get(column):
            newest.append(timestamp_from_bound(bound))
    return TableCommit(
        snapshot_id=snapshot.snapshot_id,
        sequence=sequence,
        committed_at=_EPOCH + timedelta(milliseconds=snapshot.timestamp_ms),
        rows=rows,
        watermark=max(newest, default=None),
        sizes=sizes,
        files={hour: tuple(paths) for hour, paths in files.items()},
    )


def _sequence(snapshot: Snapshot) -> int:
    return snapshot.sequence_number or 0


def _entry_sequence(entry: ManifestEntry) -> int:
    """Sequence number of the commit that landed its rows, also when they were compacted since."""
    return landed_sequence(entry.data_file) or entry.sequence_number or 0


def timestamp_from_bound(bound: bytes) -> datetime:
    """Decode a column bound of a timestamp: microseconds since 1970, eight bytes, little-endian."""
    return _EPOCH + timedelta(microseconds=int.from_bytes(bound, "little", signed=True))
