"""Rows that a log holds which is read from its beginning again, beside a stream that goes on landing.

Unlike ``Lakehouse.land``, which takes what comes last for what is newest, a row never takes the place of one that
lies further on the log, or of one that a reprocessing run made. Which rows those are is looked up in the same turn at
the table in which they are written: a memory would not know what others land meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mmplatform.land.lakehouse.arrow import arrow_of
from mmplatform.land.lakehouse.snapshot_offsets import Placed, offsets_of, renewed_in, summary_of

if TYPE_CHECKING:
    from pyiceberg.table import Table


def restore_rows(target: Table, column: str, rows: Sequence[Placed]) -> int:
    """Append what the table lacks, in one commit that takes older rows of these ids out; returns how many it lacked.

    Raises:
        Rejected: a value does not fit its column; nothing was changed.
    """
    from pyiceberg.expressions import In

    asked = {row[column]: (position, row) for position, row in sorted(rows, key=lambda placed: placed[0].offset)}
    if not asked:
        return 0
    there = _furthest(target, column, asked)
    missing = {each: row for each, (position, row) in asked.items() if there.get(each, -1) < position.offset}
    if not missing:
        return 0
    data = arrow_of(target, list(missing.values()))
    older = [each for each in missing if each in there]
    # An older summary must not be the newest one that says how far the log is in the table.
    summary = summary_of(offsets_of(target)) | renewed_in(data, column, older)
    with target.transaction() as commit:
        if older:
            commit.delete(In(column, older), snapshot_properties=summary)
        commit.append(data, snapshot_properties=summary)
    return len(missing)


def _furthest(target: Table, column: str, ids: Iterable[Any]) -> dict[str, int]:
    """The furthest place of each id that is there; what a reprocessing run made has none, and counts as further."""
    from pyiceberg.expressions import In

    found = target.scan(row_filter=In(column, list(ids)), selected_fields=(column, "log_offset")).to_arrow()
    places: dict[str, int] = {}
    for row_id, offset in zip(*(found.column(name).to_pylist() for name in (column, "log_offset")), strict=True):
        places[row_id] = max(places.get(row_id, -1), offset if offset >= 0 else 2**63)
    return places
