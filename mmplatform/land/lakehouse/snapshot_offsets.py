"""Properties of a table's snapshots that let a row be appended once: the log's offsets; and its newest row versions."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mmplatform.events import Position
from mmplatform.land.lakehouse.hour_partition import hour_number, hour_start
from mmplatform.land.lakehouse.schemas import VERSION_COLUMN
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

Offsets = Mapping[tuple[str, int], int]
PositionedRow = tuple[Position, dict[str, Any]]

_PREFIX: Final = "mmplatform.offsets."
REPLACED_PROPERTY: Final = "mmplatform.replaced"
"""In the summary of a snapshot that replaced rows: the hour of their event times."""

RENEWED_PROPERTY: Final = "mmplatform.renewed"
"""In the summary of an append: the number of rows that replaced one with the same id, by hour number since 1970."""

_MERGED_SNAPSHOTS: Final = 32
"""Snapshots that are merged: writers of one table overtake each other by at most as many commits as they retry."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """Result of one commit: new rows, and the bytes and number of their files; zeros when there were none.

    Attributes:
        snapshot_id: the snapshot that holds them.
        location: the table's folder.
    """

    rows: int = 0
    size: int = 0
    files: int = 0
    snapshot_id: int | None = None
    location: str = ""


def commit_result(table: Table, rows: int) -> CommitResult:
    """Result of a table's newest commit, from its summary; ``table`` is in the state of that commit."""
    snapshot = table.current_snapshot()
    properties = snapshot.summary.additional_properties if snapshot is not None and snapshot.summary else {}
    return CommitResult(
        rows=rows,
        size=int(properties.get("added-files-size", 0)),
        files=int(properties.get("added-data-files", 0)),
        snapshot_id=snapshot.snapshot_id if snapshot is not None else None,
        location=table.location(),
    )


def offset_key(position: Position) -> tuple[str, int]:
    """Topic and topic partition of a landed offset; a later generation of the log has offsets of its own."""
    generation = f"@{position.generation}" if position.generation else ""
    return f"{position.topic}{generation}", position.topic_partition


def rows_beyond(rows: Iterable[PositionedRow], landed: Offsets) -> list[PositionedRow]:
    """The rows at or beyond the landed offsets."""
    return [(position, row) for position, row in rows if position.offset >= landed.get(offset_key(position), 0)]


def without_retracted(rows: Iterable[PositionedRow], column: str, retracted: Mapping[str, str]) -> list[PositionedRow]:
    """Leave out the rows whose retraction has the same version or a higher one."""
    if not retracted:
        return list(rows)
    return [
        positioned
        for positioned in rows
        if row_version(positioned[1]) > retracted.get(positioned[1][column], NO_VERSION)
    ]


def read_offsets(table: Table) -> dict[str, dict[tuple[str, int], int]]:
    """The landed offsets by source: the highest of the newest snapshots that have them.

    One snapshot is not enough: when two writers append at once, the slower one's summary was built before the faster
    one's commit and lacks it.
    """
    offsets: dict[str, dict[tuple[str, int], int]] = {}
    merged = 0
    for snapshot in _newest_first(table):
        summary = snapshot.summary.additional_properties if snapshot.summary else {}
        by_source = {key.removeprefix(_PREFIX): text for key, text in summary.items() if key.startswith(_PREFIX)}
        for source, text in by_source.items():
            offsets[source] = merge_offsets(offsets.get(source, {}), _offsets_from_summary(text))
        merged += bool(by_source)
        if merged == _MERGED_SNAPSHOTS:
            break
    return offsets


def merge_offsets(left: Offsets, right: Offsets) -> dict[tuple[str, int], int]:
    """The higher offset of each partition: offsets never go back, though a replay reads older records."""
    return {partition: max(left.get(partition, 0), right.get(partition, 0)) for partition in {**left, **right}}


def offsets_to_summary(offsets: Mapping[str, Offsets]) -> dict[str, str]:
    """The snapshot properties with the landed offsets of each source."""
    summary: dict[str, str] = {}
    for source, partition_offsets in offsets.items():
        topics: dict[str, dict[str, int]] = {}
        for (topic, number), offset in sorted(partition_offsets.items()):
            topics.setdefault(topic, {})[str(number)] = offset
        summary[f"{_PREFIX}{source}"] = json.dumps(topics, separators=(",", ":"))
    return summary


def renewals_to_summary(data: pa.Table, column: str, existing_ids: Iterable[str]) -> dict[str, str]:
    """The snapshot property with the number of appended rows that replace an existing one, by hour."""
    existing = set(existing_ids)
    pairs = zip(data.column(column).to_pylist(), data.column("event_time").to_pylist(), strict=True)
    hours = Counter(
        hour_number(event_time) for row_id, event_time in pairs if row_id in existing and event_time is not None
    )
    return {RENEWED_PROPERTY: json.dumps(dict(sorted(hours.items())), separators=(",", ":"))} if hours else {}


def renewals_from_snapshot(snapshot: Snapshot) -> dict[int, int]:
    """Renewed rows by hour number, as :func:`renewals_to_summary` wrote them to a snapshot."""
    text = snapshot.summary.additional_properties.get(RENEWED_PROPERTY) if snapshot.summary is not None else None
    return {int(hour): int(rows) for hour, rows in json.loads(text).items()} if text else {}


def replaced_since(table: Table, snapshot_id: int | None) -> bool:
    """True when rows were replaced after a snapshot, or when that one has expired; reads only those after it."""
    for snapshot in _newest_first(table):
        if snapshot.snapshot_id == snapshot_id:
            return False
        if snapshot.summary is not None and REPLACED_PROPERTY in snapshot.summary.additional_properties:
            return True
    return snapshot_id is not None


def row_version(row: Mapping[str, Any]) -> str:
    """The sortable version of a row; the lowest one for rows of raw tables, which never change."""
    return row.get(VERSION_COLUMN) or NO_VERSION


def newest_versions(table: Table, column: str, limit: int) -> OrderedDict[str, str]:
    """The versions of the newest rows by id, oldest first; only the files of their hours are read."""
    if table.current_snapshot() is None:
        return OrderedDict()
    from pyiceberg.expressions import GreaterThanOrEqual

    names = {field.name for field in table.schema().fields}
    versions = (VERSION_COLUMN,) if VERSION_COLUMN in names else ()
    recent = GreaterThanOrEqual("event_time", _oldest_needed_hour(table, limit).isoformat())
    rows = table.scan(row_filter=recent, selected_fields=(column, "event_time", "log_offset", *versions)).to_arrow()
    ordered = rows.sort_by([("event_time", "ascending"), ("log_offset", "ascending")]).select([column, *versions])
    newest: OrderedDict[str, str] = OrderedDict()
    # An id may have several rows, of which one came late with a lower version.
    for row in ordered.slice(max(0, ordered.num_rows - limit)).to_pylist():
        newest[row[column]] = max(newest.get(row[column], NO_VERSION), row_version(row))
    return newest


def versions_added_since(table: Table, column: str, snapshot_id: int | None) -> dict[str, str] | None:
    """The versions of the rows that were added after a snapshot, by id, from any writer; only their files are read.

    ``None`` when that snapshot is none of the table's, or has expired.
    """
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan
    from pyiceberg.table import FileScanTask

    later: set[int] = set()
    for snapshot in _newest_first(table):
        if snapshot.snapshot_id == snapshot_id:
            break
        later.add(snapshot.snapshot_id)
    else:
        return None
    current = table.current_snapshot()
    if current is None or not later:
        return {}
    manifests = [manifest for manifest in current.manifests(table.io) if manifest.added_snapshot_id in later]
    entries = [entry for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io)]
    tasks = [FileScanTask(entry.data_file) for entry in entries if entry.snapshot_id in later]
    names = {field.name for field in table.schema().fields}
    versioned = (VERSION_COLUMN,) if VERSION_COLUMN in names else ()
    fields = table.scan(selected_fields=(column, *versioned)).projection()
    versions: dict[str, str] = {}
    for row in ArrowScan(table.metadata, table.io, fields, AlwaysTrue()).to_table(tasks).to_pylist():
        versions[row[column]] = max(versions.get(row[column], NO_VERSION), row_version(row))
    return versions


def _oldest_needed_hour(table: Table, limit: int) -> datetime:
    """The start of the hour from which on there are at least ``limit`` rows, by the counts in the manifests."""
    files = ((int(task.file.partition[0]), task.file.record_count) for task in table.scan().plan_files())
    hour, rows = 0, 0
    for hour, count in sorted(files, reverse=True):  # noqa: B007 - the last hour that was needed
        rows += count
        if rows >= limit:
            break
    return hour_start(hour)


def _newest_first(table: Table) -> Iterator[Snapshot]:
    snapshot = table.current_snapshot()
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parent_snapshot_id
        snapshot = table.snapshot_by_id(parent) if parent is not None else None


def _offsets_from_summary(text: str) -> dict[tuple[str, int], int]:
    return {
        (topic, int(number)): offset for topic, parts in json.loads(text).items() for number, offset in parts.items()
    }
