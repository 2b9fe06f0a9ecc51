"""Restores rows of a log that is replayed from its start, while the stream goes on landing.

Existing rows are read under the same table lock under which rows are written: a memory would not have the rows that
others land meanwhile. As everywhere the higher version wins.
"""

from __future__ import annotations

from collections.abc import Sequence
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
