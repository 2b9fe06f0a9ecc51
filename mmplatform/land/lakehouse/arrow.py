"""Arrow tables of an Iceberg table: conversion of rows, filters, and deduplication by id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mmplatform.errors import Rejected
from mmplatform.land.lakehouse.schemas import VERSION_COLUMN
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import DataScan, Table


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


def matching_versions(
    target: Table, row_filter: Any, column: str, choose: Callable[[str, str], str] = max
) -> dict[str, str]:
    """Sortable versions of the matching rows by id, the highest (or another choice) where there are several.

    Asked before a delete: one without matches makes pyiceberg warn and write a snapshot.
    """
    fields = [column, *({VERSION_COLUMN} & {field.name for field in target.schema().fields})]
    versions: dict[str, str] = {}
    for row in target.scan(row_filter=row_filter, selected_fields=tuple(fields)).to_arrow().to_pylist():
        version = row.get(VERSION_COLUMN) or NO_VERSION
        versions[row[column]] = choose(versions.get(row[column], version), version)
    return versions


def hour_filter(hour: datetime) -> Any:
    """The filter for event times of an hour that begins at ``hour`` (aware of UTC)."""
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

    end = hour + timedelta(hours=1)
    return And(GreaterThanOrEqual("event_time", hour.isoformat()), LessThan("event_time", end.isoformat()))


def scan_filter(
    id_column: str,
    hour: datetime | None,
    since: datetime | None,
    subject_key: str | None,
    ids: Sequence[str] | None,
    conversations: Sequence[str] | None,
) -> dict[str, Any]:
    """The filter of a scan, as its keyword argument; empty for all rows."""
    from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, In

    conditions: list[Any] = []
    if hour is not None:
        conditions.append(hour_filter(hour))
    if since is not None:
        conditions.append(GreaterThanOrEqual("event_time", since.isoformat()))
    if subject_key is not None:
        conditions.append(EqualTo("subject_key", subject_key))
    if ids is not None:
        conditions.append(In(id_column, list(ids)))
    if conversations is not None:
        conditions.append(In("conversation_id", list(conversations)))
    if not conditions:
        return {}
    return {"row_filter": And(*conditions) if len(conditions) > 1 else conditions[0]}


def scan_to_arrow(scan: DataScan, bucket: int | None) -> pa.Table:
    """The rows of a scan; with a bucket only the files of its table partitions are read."""
    if bucket is None:
        return scan.to_arrow()
    from pyiceberg.io.pyarrow import ArrowScan

    # A row filter cannot name a bucket: it is a transform of the subject's key.
    tasks = [task for task in scan.plan_files() if task.file.partition[1] == bucket]
    read = ArrowScan(scan.table_metadata, scan.io, scan.projection(), scan.row_filter, scan.case_sensitive)
    return read.to_table(tasks)


def through_filter(column: str, versions: Mapping[str, str]) -> Any:
    """The filter for rows by id, up to the sortable version given with it; a row without version is below every one."""
    from pyiceberg.expressions import And, EqualTo, IsNull, LessThanOrEqual, Or

    conditions = [
        And(EqualTo(column, row_id), Or(IsNull(VERSION_COLUMN), LessThanOrEqual(VERSION_COLUMN, version)))
        for row_id, version in versions.items()
    ]
    return Or(*conditions) if len(conditions) > 1 else conditions[0]


def newest_row_per_id(rows: pa.Table, column: str, order: str) -> pa.Table:
    """One row for each id, the one that is highest in the column ``order``; the order of the rows stays."""
    import polars as pl
    import pyarrow.compute as pc

    # Nearly every scan: a count costs less than the sort below.
    if pc.count_distinct(rows.column(column)).as_py() == rows.num_rows:
        return rows
    positions = (
        pl.DataFrame(rows.select([column, order]))
        .with_row_index("position")
        .sort(order, descending=True, nulls_last=True, maintain_order=True)
        .unique(column, keep="first")
        .get_column("position")
        .sort()
    )
    return rows.take(positions.to_arrow())


def without_released(rows: pa.Table) -> pa.Table:
    """Rows of the quarantine but those that only say that an event is no longer in it."""
    import pyarrow.compute as pc

    return rows.filter(pc.field("kind") != "released")
