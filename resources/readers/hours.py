"""One hour of a table, as the checks read it, and how its rows become what contracts ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mmplatform.errors import Unavailable
from mmplatform.land.lakehouse.arrow import hour_filter, latest_row_per_id
from mmplatform.land.lakehouse.catalog import catalog_errors
from mmplatform.land.lakehouse.hour_partition import HOUR, hour_start
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.modalities import ARCHIVE_GROUP, PASSAGES_TABLE, QUARANTINE_TABLE
from resources.iceberg_commits import EVENT_TIME, moment
from resources.lakehouse import LakehouseResource

if TYPE_CHECKING:
    from mmplatform.land.lakehouse.store import Lakehouse

Row = dict[str, Any]

_NOT_READ: Final = {"record", "event_ids"}
"""The largest columns; no rule and no figure looks at them."""


class Hours:
    """Reads hours of the lakehouse's tables.

    Every method raises ``Unavailable`` or ``Misconfigured`` when a table cannot be read, also when it is not there: no
    answer never passes for no rows.
    """

    def __init__(self, lakehouse: Lakehouse) -> None:
        self._lakehouse = lakehouse

    def newest(self, table: str) -> datetime | None:
        """The newest hour of event time that the table has rows of, by its metadata alone."""
        with reading(table):
            files = self._lakehouse.table(table).scan().plan_files()
            hours = [int(task.file.partition[0]) for task in files]
        return hour_start(max(hours)) if hours else None

    def watermark(self, table: str, hour: datetime) -> datetime | None:
        """The newest event time of an hour, by the bounds in the table's metadata; ``None`` where it has no rows."""
        with reading(table):
            target = self._lakehouse.table(table)
            column = target.schema().find_field(EVENT_TIME).field_id
            files = [task.file for task in target.scan(row_filter=hour_filter(hour)).plan_files()]
        return max((moment(each.upper_bounds[column]) for each in files if column in each.upper_bounds), default=None)

    def known(self, table: str, ids: Sequence[str]) -> set[str]:
        """Those of some ids that the table has rows of, in whichever hour."""
        if not ids:
            return set()
        column = SPECS[table].id_column
        with reading(table):
            found = self._lakehouse.scan(table, ids=ids, columns=[column]).column(column).to_pylist()
        return {str(each) for each in found}

    def archived(self, table: str) -> dict[tuple[str, int], int]:
        """How far the archiver has the log in a table: the next offset, by topic and topic partition."""
        with reading(table):
            return self._lakehouse.landed_offsets(table, ARCHIVE_GROUP)

    def call_rows(self, table: str, hour: datetime, calls: Sequence[str], columns: Sequence[str]) -> list[Row]:
        """Rows of some conversations in an hour and its neighbours."""
        found: list[Row] = []
        with reading(table):
            for each in (hour - HOUR, hour, hour + HOUR):
                rows = self._lakehouse.scan(table, hour=each, conversations=calls, columns=columns)
                found += rows.to_pylist()
        return found

    def rows(self, table: str, hour: datetime, columns: Sequence[str] | None = None) -> list[Row]:
        """Rows of an hour; without ``columns`` all that contracts and figures look at."""
        wanted = columns or [name for name, _ in SPECS[table].columns if name not in _NOT_READ]
        with reading(table):
            found: list[Row] = self._lakehouse.scan(table, hour=hour, columns=wanted).to_pylist()
        return found

    def around(self, table: str, hour: datetime, columns: Sequence[str]) -> list[Row]:
        """Rows of an hour and of its neighbours: an utterance may begin in one hour and end in the next."""
        from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

        since, until = hour - HOUR, hour + 2 * HOUR
        asked = And(GreaterThanOrEqual(EVENT_TIME, since.isoformat()), LessThan(EVENT_TIME, until.isoformat()))
        column = SPECS[table].id_column
        needed = tuple(dict.fromkeys((*columns, column, "log_offset")))
        with reading(table):
            # One look into the table's metadata for all three hours: with a history of 1,000 hours each takes 0.1 s.
            found = self._lakehouse.table(table).scan(row_filter=asked, selected_fields=needed).to_arrow()
            rows: list[Row] = latest_row_per_id(found, column).select(list(columns)).to_pylist()
        return rows

    def aside(self, hour: datetime) -> set[str]:
        """Ids of the events of an hour that were quarantined."""
        return {str(row["event_id"]) for row in self.rows(QUARANTINE_TABLE, hour, ["event_id"])}

    def stamped(self, table: str, stamp: str, since: datetime, columns: Sequence[str]) -> list[Row]:
        """Rows that were stamped from a moment on, whatever hour their event is of; other files are not read."""
        from pyiceberg.expressions import GreaterThanOrEqual

        return self._where(table, GreaterThanOrEqual(stamp, since.isoformat()), (*columns, stamp))

    def beyond(self, table: str, offset: int, columns: Sequence[str]) -> list[Row]:
        """Rows that lay on the log at an offset or behind it, of any topic partition; older files are not read."""
        from pyiceberg.expressions import GreaterThanOrEqual

        return self._where(table, GreaterThanOrEqual("log_offset", offset), tuple(columns))

    def sizes(self, table: str) -> dict[datetime, tuple[int, int, int]]:
        """Files, bytes and rows of each hour, by the table's metadata alone."""
        found: dict[datetime, tuple[int, int, int]] = {}
        with reading(table):
            for task in self._lakehouse.table(table).scan().plan_files():
                hour = hour_start(int(task.file.partition[0]))
                files, size, rows = found.get(hour, (0, 0, 0))
                found[hour] = (files + 1, size + task.file.file_size_in_bytes, rows + task.file.record_count)
        return found

    def uuid(self, table: str) -> str:
        """What tells a table from an earlier one of the same name."""
        with reading(table):
            return str(self._lakehouse.table(table).metadata.table_uuid)

    def _where(self, table: str, asked: Any, columns: tuple[str, ...]) -> list[Row]:
        with reading(table):
            scan = self._lakehouse.table(table).scan(row_filter=asked, selected_fields=columns)
            found: list[Row] = scan.to_arrow().to_pylist()
        return found


def open_hours(lakehouse: LakehouseResource) -> Hours:
    """The tables of a lakehouse that is there. Raises ``Unavailable``, ``Misconfigured``."""
    return Hours(open_lakehouse(lakehouse))


def open_lakehouse(lakehouse: LakehouseResource) -> Lakehouse:
    """A lakehouse that is there. Raises ``Unavailable``, ``Misconfigured``."""
    settings = lakehouse.settings()
    if not settings.iceberg_catalog and not (settings.data_dir / "lakehouse").exists():
        # Opening it would make it, and then it would look empty.
        raise Unavailable(f"lakehouse: there is none in {settings.data_dir}: nothing ever ran here (`mmplatform up`)")
    return lakehouse.open()


def as_judged(table: str, rows: Sequence[Row]) -> list[Row]:
    """Rows as the table's contract knows them: it speaks of an event's id, and of a vector by its length."""
    named = [row if "event_id" in row else {**row, "event_id": row["artifact_id"]} for row in rows]
    if table != PASSAGES_TABLE:
        return named
    norms = (float(np.linalg.norm(np.asarray(row["vector"], dtype=np.float32))) for row in rows)
    return [{**row, "vector_norm": norm} for row, norm in zip(named, norms, strict=True)]


@contextmanager
def reading(table: str) -> Iterator[None]:
    """A table that is not there, or does not answer, is ``Unavailable`` or ``Misconfigured``."""
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    try:
        with catalog_errors(f"read {table}"):
            yield
    except (NoSuchNamespaceError, NoSuchTableError) as error:
        raise Unavailable(
            f"lakehouse: there is no table {table} yet: nothing was ever archived here (`mmplatform up`)"
        ) from error
