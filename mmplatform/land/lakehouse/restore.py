"""Restores rows of a log that is replayed from its start, while the stream goes on landing.

Existing rows are read under the same table lock under which rows are written: a memory would not have the rows that
others land meanwhile. As everywhere the higher version wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmplatform.land.lakehouse.arrow import matching_versions, rows_to_arrow
from mmplatform.land.lakehouse.snapshot_offsets import (
    PositionedRow,
    offsets_to_summary,
    read_offsets,
    renewals_to_summary,
    row_version,
)

if TYPE_CHECKING:
    from pyiceberg.table import Table


@dataclass(frozen=True, slots=True)
class RepairResult:
    """Rows of a repair: missing ones, ones that differed from the log, and ones that were as they are there."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0

    def __add__(self, other: RepairResult) -> RepairResult:
        return RepairResult(self.added + other.added, self.replaced + other.replaced, self.unchanged + other.unchanged)


def repair_rows(target: Table, column: str, rows: Sequence[PositionedRow]) -> RepairResult:
    """Append missing rows of a raw table and replace damaged ones, in one commit.

    A row is damaged when it differs from that of the log in any column. One of an earlier position is not: the log has
    expired the first record of its event, and what it still has is a repetition.

    Raises:
        Rejected: a value does not fit its column; nothing was changed.
    """
    from pyiceberg.expressions import In

    if not rows:
        return RepairResult()
    data = rows_to_arrow(target, [row for _, row in rows])
    logged = {row[column]: row for row in reversed(data.to_pylist())}  # with the types that a scan returns
    stored: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in target.scan(In(column, list(logged)), selected_fields=tuple(data.column_names)).to_arrow().to_pylist():
        stored[row[column]].append(row)
    added = [row_id for row_id in logged if row_id not in stored]
    damaged = [
        row_id
        for row_id, found in stored.items()
        if any(row != logged[row_id] and not _is_earlier(row, logged[row_id]) for row in found)
    ]
    if added or damaged:
        first = rows_to_arrow(target, [logged[row_id] for row_id in (*added, *damaged)])
        summary = offsets_to_summary(read_offsets(target)) | renewals_to_summary(first, column, damaged)
        with target.transaction() as commit:
            if damaged:
                commit.delete(In(column, damaged), snapshot_properties=summary)
            commit.append(first, snapshot_properties=summary)
    return RepairResult(len(added), len(damaged), len(logged) - len(added) - len(damaged))


def _is_earlier(row: Mapping[str, Any], logged: Mapping[str, Any]) -> bool:
    """True for a row of a lower offset of the same topic partition, or of an earlier generation of the log."""
    generation, logged_generation = row["log_generation"] or 0, logged["log_generation"] or 0
    if generation != logged_generation:
        return bool(generation < logged_generation)
    return bool(row["topic_partition"] == logged["topic_partition"] and row["log_offset"] < logged["log_offset"])


def restore_rows(target: Table, column: str, rows: Sequence[PositionedRow]) -> int:
    """Append missing rows, in one commit that deletes older rows of these ids; returns the number of missing rows.

    Raises:
        Rejected: a value does not fit its column; nothing was changed.
    """
    from pyiceberg.expressions import In

    newest: dict[str, dict[str, Any]] = {}
    for _, row in rows:
        present = newest.get(row[column])
        if present is None or row_version(row) > row_version(present):
            newest[row[column]] = row
    if not newest:
        return 0
    present = matching_versions(target, In(column, list(newest)), column)
    missing = {
        row_id: row for row_id, row in newest.items() if row_id not in present or row_version(row) > present[row_id]
    }
    if not missing:
        return 0
    data = rows_to_arrow(target, list(missing.values()))
    older = [row_id for row_id in missing if row_id in present]
    # Without it an older summary would be the newest one with the landed offsets.
    summary = offsets_to_summary(read_offsets(target)) | renewals_to_summary(data, column, older)
    with target.transaction() as commit:
        if older:
            commit.delete(In(column, older), snapshot_properties=summary)
        commit.append(data, snapshot_properties=summary)
    return len(missing)
