"""Arrow tables of an Iceberg table: conversion of rows, filters, and deduplication by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mmplatform.errors import Rejected

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table


def rows_to_arrow(target: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
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


def matching_ids(target: Table, row_filter: Any, column: str) -> list[str]:
    """Ids of the matching rows: a delete without matches makes pyiceberg warn and write a snapshot."""
    found = target.scan(row_filter=row_filter, selected_fields=(column,)).to_arrow()
    return [str(row_id) for row_id in found.column(column).to_pylist()]


def hour_filter(hour: datetime) -> Any:
    """The filter for event times of an hour that begins at ``hour`` (aware of UTC)."""
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

    end = hour + timedelta(hours=1)
    return And(GreaterThanOrEqual("event_time", hour.isoformat()), LessThan("event_time", end.isoformat()))


def latest_row_per_id(rows: pa.Table, column: str) -> pa.Table:
    """One row for each id, the one with the highest offset; the order of the rows stays."""
    import polars as pl
    import pyarrow.compute as pc

    # Nearly every scan: a count costs less than the sort below.
    if pc.count_distinct(rows.column(column)).as_py() == rows.num_rows:
        return rows
    positions = (
        pl.DataFrame(rows.select([column, "log_offset"]))
        .with_row_index("position")
        .sort("log_offset", descending=True, nulls_last=True, maintain_order=True)
        .unique(column, keep="first")
        .get_column("position")
        .sort()
    )
    return rows.take(positions.to_arrow())
