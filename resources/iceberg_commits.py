"""What landed in an Iceberg table, read from its own metadata: no row and no data file is opened.

A commit's manifests name the files that it added, with their row counts and the bounds of their columns: that tells
how many rows came for which hour, and how new the newest is.

Old snapshots expire, and their commits cannot be read one by one any more. The files that they added live on, and the
oldest snapshot that is left lists each with the sequence number of its commit. A reader that was away for longer than
snapshots are kept, or that is new, counts them there: no row is left out. What an expired commit merely wrote anew
(a deletion rewrites the rest of its file) cannot be told from what landed then, and is counted with it. Compacted files
say up to which commit their rows had landed: they count for a reader that had not come that far, and for no other.
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
class Commit:
    """What one commit added, or several that have expired.

    Attributes:
        snapshot_id: the first snapshot still there that holds the rows.
        sequence: Iceberg's sequence number; grows with every commit of the table.
        committed_at: when that snapshot was made.
        rows: how many new rows there are, by the hour of their event time; 0 for an hour whose rows were only replaced.
        watermark: the newest event time among them; ``None`` where no statistics were written.
        replaced: how many rows took the place of one with their id, by hour, as far as their writer said so.
        sizes: bytes of the files that were added, by hour.
        files: those files, by hour, when the stream wrote them; of commits that have expired and of reprocessing, whose
            stamps say nothing of how long anybody waited, none.
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
class TableLog:
    """Commits of one table after a sequence number, oldest first, as far as they were read.

    Attributes:
        table_uuid: tells this table from an earlier one of the same name.
        sequence: how far was read, commits that added no rows (compaction, deletion) included.
    """

    table_uuid: str
    sequence: int
    commits: tuple[Commit, ...]


class LogReader:
    """Reads the commits of one table as it was loaded, step by step, so that the caller may stop after any of them."""

    def __init__(self, table: Table, after: Mapping[str, int]) -> None:
        """``after`` says, by table uuid, how far the reader was."""
        self._uuid = str(table.metadata.table_uuid)
        self._sequence = after.get(self._uuid, 0)
        self._commits: list[Commit] = []
        self._ahead = _commits(table, self._sequence)

    def step(self) -> bool:
        """Read one commit more; false when there is none. Takes about 2 ms on a local disk, 0.1 s and more on S3."""
        commit = next(self._ahead, None)
        if commit is None:
            return False
        self._sequence = commit.sequence
        if commit.rows:
            self._commits.append(commit)
        return True

    def log(self) -> TableLog:
        """What was read so far."""
        return TableLog(self._uuid, self._sequence, tuple(self._commits))


def _commits(table: Table, seen: int) -> Iterator[Commit]:
    """The commits after ``seen``, oldest first, those without rows included: they too are behind the reader then."""
    for snapshot in sorted(table.metadata.snapshots, key=_sequence):
        sequence = _sequence(snapshot)
        if sequence <= seen:
            continue
        if sequence > seen + 1:
            yield from _expired(table, snapshot, seen)
        yield _own(table, snapshot)
        seen = sequence


def _expired(table: Table, snapshot: Snapshot, seen: int) -> Iterator[Commit]:
    """What landed after ``seen`` and before ``snapshot``, in commits whose own snapshots are gone.

    Manifests are read in the order of the oldest file in each: everything older than the next manifest's oldest file
    is then known, and the reader may stop there.
    """
    from pyiceberg.manifest import ManifestEntryStatus

    end = _sequence(snapshot)
    manifests = sorted(_older(table, snapshot, seen), key=lambda pair: pair[0])
    known = [*(oldest - 1 for oldest, _ in manifests[1:]), end - 1]
    if (
        COMPACTED_PROPERTY in table.properties
    ):  # a manifest does not tell when the rows of such files landed: all are read first
        known[:-1] = [seen] * (len(known) - 1)
    held: list[ManifestEntry] = []
    for (_, manifest), until in zip(manifests, known, strict=False):
        # What this snapshot itself took out was there until then. What earlier ones took out is gone for good.
        own = manifest.added_snapshot_id == snapshot.snapshot_id
        entries = manifest.fetch_manifest_entry(table.io, discard_deleted=not own)
        # What it put in was there before by other names, or is its own to tell.
        entries = [entry for entry in entries if not (own and entry.status == ManifestEntryStatus.ADDED)]
        held += [entry for entry in entries if seen < _entry_sequence(entry) < end]
        if until > seen:
            counted = _counted(table, snapshot, until, (entry for entry in held if _entry_sequence(entry) <= until))
            yield replace(counted, files={})
            held = [entry for entry in held if _entry_sequence(entry) > until]
            seen = until


def _older(table: Table, snapshot: Snapshot, seen: int) -> Iterator[tuple[int, ManifestFile]]:
    """The manifests that may list files of between, each with the sequence number of the oldest of these."""
    from pyiceberg.manifest import ManifestContent

    for manifest in snapshot.manifests(table.io):
        if manifest.content != ManifestContent.DATA or manifest.sequence_number <= seen:
            continue
        # The least number of a manifest says nothing of the files that it tells as taken out.
        took_out = manifest.added_snapshot_id == snapshot.snapshot_id and manifest.deleted_files_count
        oldest = seen + 1 if took_out else max(manifest.min_sequence_number, seen + 1)
        if oldest < _sequence(snapshot):
            yield oldest, manifest


def _added(table: Table, snapshot: Snapshot) -> Iterator[ManifestEntry]:
    """The files that a snapshot added, if it is one of the archiver's.

    A row that is replaced makes two snapshots of one transaction: what takes the old row out, then the append.
    """
    from pyiceberg.manifest import ManifestEntryStatus
    from pyiceberg.table.snapshots import Operation

    # Only appends: a deletion that rewrites a file adds rows too, and none of them is new.
    if snapshot.summary is None or snapshot.summary.operation != Operation.APPEND:
        return
    for manifest in snapshot.manifests(table.io):
        if manifest.added_snapshot_id == snapshot.snapshot_id:
            entries = manifest.fetch_manifest_entry(table.io)
            yield from (entry for entry in entries if entry.status == ManifestEntryStatus.ADDED)


def _own(table: Table, snapshot: Snapshot) -> Commit:
    """What a snapshot that is still there added: its writer has said which of the rows were there before."""
    counted = _counted(table, snapshot, _sequence(snapshot), _added(table, snapshot))
    renewed = {hour_start(hour): rows for hour, rows in renewals_from_snapshot(snapshot).items()}
    found = {hour: min(renewed.get(hour, 0), rows) for hour, rows in counted.rows.items()}
    again = snapshot.summary is not None and REPLACED_PROPERTY in snapshot.summary.additional_properties
    return replace(
        counted,
        rows={hour: rows - found[hour] for hour, rows in counted.rows.items()},
        replaced={hour: rows for hour, rows in found.items() if rows},
        files={} if again else counted.files,
    )


def _counted(table: Table, snapshot: Snapshot, sequence: int, entries: Iterable[ManifestEntry]) -> Commit:
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
        # Tables are partitioned by the hour, so that the oldest row's hour is every row's.
        if oldest := file.lower_bounds.get(column):
            hour = moment(oldest).replace(minute=0, second=0, microsecond=0)
            rows[hour] += file.record_count
            sizes[hour] += file.file_size_in_bytes
            files[hour].append(file.file_path)
        if bound := file.upper_bounds.get(column):
            newest.append(moment(bound))
    return Commit(
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
    """When its rows had landed, be it that they were compacted since."""
    return landed_sequence(entry.data_file) or entry.sequence_number or 0


def moment(bound: bytes) -> datetime:
    """A column bound of a timestamp: microseconds since 1970, eight bytes, little end first."""
    return _EPOCH + timedelta(microseconds=int.from_bytes(bound, "little", signed=True))
