"""Sets of rows of an Iceberg table: made to fit it, asked for, and thinned out to one row for each id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mmplatform.errors import Rejected

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table


def arrow_of(target: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows in the columns of a table. Raises Rejected when a value does not fit its column."""
    import pyarrow as pa
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    schema = schema_to_pyarrow(target.schema(), include_field_ids=False)
    try:
        return pa.Table.from_pylist(list(rows), schema=schema)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise Rejected(
            f"a row does not fit the columns of {target.name()[-1]} ({type(error).__name__})"  # its text may be quoted
        ) from None


def ids_where(target: Table, rows: Any, column: str) -> list[str]:
    """Ids of the rows that match: pyiceberg warns of a delete that deletes nothing, and makes a snapshot of it."""
    found = target.scan(row_filter=rows, selected_fields=(column,)).to_arrow()
    return [str(each) for each in found.column(column).to_pylist()]


def within_hour(hour: datetime) -> Any:
    """The filter for event times of an hour that begins at ``hour`` (aware of UTC)."""
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

    end = hour + timedelta(hours=1)
    return And(GreaterThanOrEqual("event_time", hour.isoformat()), LessThan("event_time", end.isoformat()))


def one_each(rows: pa.Table, column: str) -> pa.Table:
    """One row for each id, the one with the highest offset."""
    import pyarrow.compute as pc

    if rows.num_rows == 0 or pc.count_distinct(rows.column(column)).as_py() == rows.num_rows:
        return rows
    order = pc.sort_indices(rows, sort_keys=[("log_offset", "descending")])
    latest: dict[Any, Any] = {}
    for place, row_id in zip(order.to_pylist(), rows.column(column).take(order).to_pylist(), strict=True):
        latest.setdefault(row_id, place)
    return rows.take(sorted(latest.values()))
