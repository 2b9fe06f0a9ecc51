"""Reads hours of the lakehouse's tables for checks, and converts their rows to those of the contracts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from mmplatform.artifacts import artifact_id
from mmplatform.errors import Rejected, Unavailable
from mmplatform.events import ChatDeleted, ChatRedacted
from mmplatform.land.lakehouse.arrow import hour_filter, newest_row_per_id
from mmplatform.land.lakehouse.catalog import catalog_errors
from mmplatform.land.lakehouse.hour_partition import HOUR, hour_start
from mmplatform.land.lakehouse.row_codec import row_to_event
from mmplatform.land.lakehouse.schemas import SPECS, VERSION_COLUMN
from mmplatform.modalities import ARCHIVE_GROUP, CHAT, IDENTITY, PASSAGES_TABLE, QUARANTINE_TABLE
from quality.rows import Row
from resources.iceberg_commits import EVENT_TIME, timestamp_from_bound
from resources.lakehouse import LakehouseResource

if TYPE_CHECKING:
    import polars as pl

    from mmplatform.land.lakehouse.store import Lakehouse

_UNUSED_COLUMNS: Final = {"record", "event_ids", "event_uids"}
"""The largest columns; no rule and no profile uses them."""


class HourReader:
    """Reads hours of the lakehouse's tables.

    Every method raises ``Unavailable`` or ``Misconfigured`` when a table cannot be read or does not exist: an unread
    table never passes for an empty one.
    """

    def __init__(self, lakehouse: Lakehouse) -> None:
        self._lakehouse = lakehouse

    def newest_hour(self, table: str) -> datetime | None:
        """The newest hour of event time that the table has rows of, by its metadata alone."""
        return max(self.hours_with_rows(table), default=None)

    def watermark(self, table: str, hour: datetime) -> datetime | None:
        """The newest event time of an hour, by the bounds in the table's metadata; ``None`` without rows."""
        with read_errors(table):
            target = self._lakehouse.table(table)
            column = target.schema().find_field(EVENT_TIME).field_id
            files = [task.file for task in target.scan(row_filter=hour_filter(hour)).plan_files()]
        bounds = [file.upper_bounds[column] for file in files if column in file.upper_bounds]
        return max((timestamp_from_bound(bound) for bound in bounds), default=None)

    def existing_ids(self, table: str, column: str, ids: Sequence[str]) -> set[str]:
        """Those of some ids that the table has rows of, in any hour; ``column`` is the one that holds them."""
        from pyiceberg.expressions import In

        return {str(row[column]) for row in self._scan(table, In(column, list(ids)), (column,))} if ids else set()

    def deleted_and_here(self, hour: datetime, settled_before: datetime) -> dict[str, datetime]:
        """Event times of the messages that were deleted or redacted in an hour, and have a row; by artifact id.

        A deletion about another subject counts for nothing, as in the fold. ``settled_before``: deletions that were
        ingested later are still under way.
        """
        from pyiceberg.expressions import And, In

        kinds = In("kind", ["chat_deleted", "chat_redacted"])
        rows = self._scan(CHAT.raw_table, And(hour_filter(hour), kinds), ("record",))
        subjects = {}
        for row in rows:
            with suppress(Rejected):  # a damaged row: `contract` fails on it
                event = row_to_event(dict(row))
                if isinstance(event, ChatDeleted | ChatRedacted) and event.ingested_at <= settled_before:
                    subjects[artifact_id("message", event.message_uid, 0)] = event.subject_key
        if not subjects:
            return {}
        columns = ("artifact_id", "event_time", "subject_key")
        present = self._scan(CHAT.derived_table, In("artifact_id", list(subjects)), columns)
        return {
            str(row["artifact_id"]): row["event_time"]
            for row in present
            if row["subject_key"] == subjects[row["artifact_id"]]
        }

    def archived_offsets(self, table: str) -> dict[tuple[str, int], int]:
        """The archiver's next offset in the log, by topic and topic partition."""
        with read_errors(table):
            return self._lakehouse.landed_offsets(table, ARCHIVE_GROUP)

    def conversation_rows(
        self, table: str, hour: datetime, conversations: Sequence[str], columns: Sequence[str]
    ) -> Sequence[Row]:
        """Rows of some conversations in an hour and its neighbours."""
        rows: list[Row] = []
        with read_errors(table):
            for near in (hour - HOUR, hour, hour + HOUR):
                scan = self._lakehouse.scan(table, hour=near, conversations=conversations, columns=columns)
                rows += scan.to_pylist()
        return rows

    def rows(self, table: str, hour: datetime, columns: Sequence[str] | None = None) -> Sequence[Row]:
        """Rows of an hour; without ``columns`` all that contracts and profiles use."""
        wanted = columns or [name for name, _ in SPECS[table].columns if name not in _UNUSED_COLUMNS]
        with read_errors(table):
            rows: Sequence[Row] = self._lakehouse.scan(table, hour=hour, columns=wanted).to_pylist()
        return rows

    def rows_around(self, table: str, hour: datetime, columns: Sequence[str]) -> Sequence[Row]:
        """Rows of an hour and of its neighbours: an utterance may begin in one hour and end in the next."""
        from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

        since, until = hour - HOUR, hour + 2 * HOUR
        row_filter = And(GreaterThanOrEqual(EVENT_TIME, since.isoformat()), LessThan(EVENT_TIME, until.isoformat()))
        column = SPECS[table].id_column
        order = VERSION_COLUMN if SPECS[table].versioned else "log_offset"
        needed = tuple(dict.fromkeys((*columns, column, order)))
        with read_errors(table):
            # One scan plan for all three hours: with a history of 1,000 hours each takes 0.1 s.
            found = self._lakehouse.table(table).scan(row_filter=row_filter, selected_fields=needed).to_arrow()
            rows: Sequence[Row] = newest_row_per_id(found, column, order).select(list(columns)).to_pylist()
        return rows

    def frame(self, table: str, hours: Sequence[datetime], columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of the rows of some hours, by one scan plan, with ``event_time``; at least one hour."""
        import polars as pl
        from pyiceberg.expressions import Or

        filters = [hour_filter(hour) for hour in hours]
        column = SPECS[table].id_column
        order = VERSION_COLUMN if SPECS[table].versioned else "log_offset"
        wanted = tuple(dict.fromkeys((*columns, EVENT_TIME)))
        needed = tuple(dict.fromkeys((*wanted, column, order)))
        with read_errors(table):
            scan = self._lakehouse.table(table).scan(
                row_filter=Or(*filters) if len(filters) > 1 else filters[0], selected_fields=needed
            )
            rows = newest_row_per_id(scan.to_arrow(), column, order).select(list(wanted))
        return cast("pl.DataFrame", pl.from_arrow(rows))

    def hours_with_rows(self, table: str) -> set[datetime]:
        """The hours of event time that the table has rows of, by its metadata alone."""
        with read_errors(table):
            files = self._lakehouse.table(table).scan().plan_files()
            return {hour_start(int(task.file.partition[0])) for task in files}

    def quarantined_uids(self, hour: datetime) -> set[str]:
        """Identities of the quarantined events of an hour; not of conflicts, whose first event was accepted."""
        rows = self.rows(QUARANTINE_TABLE, hour, ["event_uid", "contract"])
        return {str(row["event_uid"]) for row in rows if row["contract"] != IDENTITY}

    def rows_since(self, table: str, stamp: str, since: datetime, columns: Sequence[str]) -> Sequence[Row]:
        """Rows stamped from a moment on, of any hour of event time; other files are not read."""
        from pyiceberg.expressions import GreaterThanOrEqual

        return self._scan(table, GreaterThanOrEqual(stamp, since.isoformat()), (*columns, stamp))

    def rows_from_offset(self, table: str, offset: int, columns: Sequence[str]) -> Sequence[Row]:
        """Rows from a log offset on, of any topic partition; older files are not read."""
        from pyiceberg.expressions import GreaterThanOrEqual

        return self._scan(table, GreaterThanOrEqual("log_offset", offset), tuple(columns))

    def sizes(self, table: str) -> dict[datetime, tuple[int, int, int]]:
        """Files, bytes and rows of each hour, by the table's metadata alone."""
        sizes: dict[datetime, tuple[int, int, int]] = {}
        with read_errors(table):
            for task in self._lakehouse.table(table).scan().plan_files():
                hour = hour_start(int(task.file.partition[0]))
                files, size, rows = sizes.get(hour, (0, 0, 0))
                sizes[hour] = (files + 1, size + task.file.file_size_in_bytes, rows + task.file.record_count)
        return sizes

    def table_uuid(self, table: str) -> str:
        """Iceberg's uuid, which distinguishes a table from an earlier one of the same name."""
        with read_errors(table):
            return str(self._lakehouse.table(table).metadata.table_uuid)

    def _scan(self, table: str, row_filter: Any, columns: tuple[str, ...]) -> Sequence[Row]:
        from pyiceberg.expressions import And, EqualTo

        if table == QUARANTINE_TABLE:  # the others say that an event is no longer in it
            row_filter = And(row_filter, EqualTo("kind", "quarantined"))
        with read_errors(table):
            scan = self._lakehouse.table(table).scan(row_filter=row_filter, selected_fields=columns)
            rows: Sequence[Row] = scan.to_arrow().to_pylist()
        return rows


def open_hour_reader(lakehouse: LakehouseResource) -> HourReader:
    """A reader of an existing lakehouse. Raises ``Unavailable``, ``Misconfigured``."""
    return HourReader(open_lakehouse(lakehouse))


def open_lakehouse(lakehouse: LakehouseResource) -> Lakehouse:
    """An existing lakehouse. Raises ``Unavailable``, ``Misconfigured``."""
    settings = lakehouse.settings()
    if not settings.iceberg_catalog and not (settings.data_dir / "lakehouse").exists():
        # Opening it would create it, and then it would look empty.
        raise Unavailable(f"lakehouse: there is none in {settings.data_dir}: nothing ever ran here (`mmplatform up`)")
    return lakehouse.open()


def to_contract_rows(table: str, rows: Sequence[Row]) -> Sequence[Row]:
    """Rows as the table's contract expects them: with the id of an event, and with the length of the vector."""
    named = [row if "event_id" in row else {**row, "event_id": row["artifact_id"]} for row in rows]
    if table != PASSAGES_TABLE:
        return named
    norms = (float(np.linalg.norm(np.asarray(row["vector"], dtype=np.float32))) for row in rows)
    return [{**row, "vector_norm": norm} for row, norm in zip(named, norms, strict=True)]


@contextmanager
def read_errors(table: str) -> Iterator[None]:
    """Raises ``Unavailable`` or ``Misconfigured`` for a table that does not exist or cannot be read."""
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    try:
        with catalog_errors(f"read {table}"):
            yield
    except (NoSuchNamespaceError, NoSuchTableError) as error:
        raise Unavailable(
            f"lakehouse: there is no table {table} yet: nothing was ever archived here (`mmplatform up`)"
        ) from error
