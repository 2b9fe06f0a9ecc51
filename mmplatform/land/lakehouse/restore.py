"""Restores rows of a log that is replayed from its start, while the stream goes on landing.

Unlike ``Lakehouse.land``, for which the last row is the newest, a restored row never replaces one with a higher
offset, or one of a reprocessing run. Existing rows are read under the same table lock under which rows are written: a
memory would not have the rows that others land meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mmplatform.land.lakehouse.arrow import rows_to_arrow
from mmplatform.land.lakehouse.snapshot_offsets import (
    PositionedRow,
    offsets_to_summary,
    read_offsets,
    renewals_to_summary,
)

if TYPE_CHECKING:
    from pyiceberg.table import Table


def restore_rows(target: Table, column: str, rows: Sequence[PositionedRow]) -> int:
    """Append missing rows, in one commit that deletes older rows of these ids; returns the number of missing rows.

    Raises:
        Rejected: a value does not fit its column; nothing was changed.
    """
    from pyiceberg.expressions import In

    latest = {row[column]: (position, row) for position, row in sorted(rows, key=lambda placed: placed[0].offset)}
    if not latest:
        return 0
    offsets = _highest_offsets(target, column, latest)
    missing = {row_id: row for row_id, (position, row) in latest.items() if offsets.get(row_id, -1) < position.offset}
    if not missing:
        return 0
    data = rows_to_arrow(target, list(missing.values()))
    older = [row_id for row_id in missing if row_id in offsets]
    # Without it an older summary would be the newest one with the landed offsets.
    summary = offsets_to_summary(read_offsets(target)) | renewals_to_summary(data, column, older)
    with target.transaction() as commit:
        if older:
            commit.delete(In(column, older), snapshot_properties=summary)
        commit.append(data, snapshot_properties=summary)
    return len(missing)


def _highest_offsets(target: Table, column: str, ids: Iterable[Any]) -> dict[str, int]:
    """The highest offset of each existing id; a row of a reprocessing run has none, and counts as higher than any."""
    from pyiceberg.expressions import In

    found = target.scan(row_filter=In(column, list(ids)), selected_fields=(column, "log_offset")).to_arrow()
    offsets: dict[str, int] = {}
    for row_id, offset in zip(*(found.column(name).to_pylist() for name in (column, "log_offset")), strict=True):
        offsets[row_id] = max(offsets.get(row_id, -1), offset if offset >= 0 else 2**63)
    return offsets
