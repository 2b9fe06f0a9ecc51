"""Iceberg lakehouse: cold and cheap tables of all events and all artifacts, row by row.

The archiver appends, Dagster's assets and reports scan. Exactly one row for each id, by three means, in this order:

1. Offsets in the snapshot's summary: records that the table holds, by their position on the log, are not appended
   again. That covers a crash between the table's commit and the consumer's.
2. A memory of recent versions, filled from the newest hours: a row whose version is not higher than the stored one, or
   than that of its retraction, is skipped. A higher one replaces: the commit that appends the new row deletes the old.
3. ``scan`` returns one row of each id, the one with the highest version: the fallback when the memory was too short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from mmplatform.errors import Rejected
from mmplatform.land.lakehouse.arrow import (
    matching_versions,
    newest_row_per_id,
    rows_to_arrow,
    scan_filter,
    scan_to_arrow,
    through_filter,
    without_released,
)
from mmplatform.land.lakehouse.catalog import catalog_errors, open_catalog
from mmplatform.land.lakehouse.maintenance.snapshot_expiry import ExpiryResult, expire_snapshots
from mmplatform.land.lakehouse.recent_ids import MAX_REMEMBERED_IDS, RecentIds
from mmplatform.land.lakehouse.replace import Replacement, ReplaceResult, replace_rows
from mmplatform.land.lakehouse.restore import RepairResult, repair_rows, restore_rows
from mmplatform.land.lakehouse.schemas import SPECS, TABLE_PROPERTIES, VERSION_COLUMN, check_release
from mmplatform.land.lakehouse.snapshot_offsets import (
    CommitResult,
    Offsets,
    PositionedRow,
    commit_result,
    merge_offsets,
    offsets_to_summary,
    read_offsets,
    renewals_to_summary,
    row_version,
    rows_beyond,
    without_retracted,
)
from mmplatform.land.lakehouse.table_locks import TableLocks
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE, QUARANTINE_TABLE, RETRACTIONS_TABLE
from mmplatform.settings import Settings
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

_log = structlog.get_logger(__name__)

RETRACTABLE_TABLES: Final = frozenset({PASSAGES_TABLE, *(spec.derived_table for spec in MODALITIES.values())})


class Lakehouse:
    """All tables of one namespace. One writer for each table at a time is fast; several are safe.

    Every method raises ``Unavailable`` when the catalog or its store does not answer.
    """

    def __init__(
        self,
        catalog: Catalog,
        namespace: str,
        *,
        max_remembered_ids: int = MAX_REMEMBERED_IDS,
        locks_dir: Path | None = None,
    ) -> None:
        """``locks_dir``: locks between writers of one machine; ``None``: the faster one wins, the other tries again."""
        self._locks = TableLocks(locks_dir)
        self._catalog = catalog
        self._namespace = namespace
        self._recent_ids = RecentIds(max_remembered_ids)

    @classmethod
    def open(cls, settings: Settings, glue: Callable[[], Any] | None = None) -> Lakehouse:
        """The lakehouse of the settings; ``glue`` as for ``open_catalog``. Raises Misconfigured, Unavailable."""
        # With the default catalog all writers share the data directory: without locks an archiver that commits often
        # would always be faster than a run, which reads more between its check and its commit.
        locks_dir = None if settings.iceberg_catalog else settings.data_dir / "lakehouse" / "locks"
        return cls(open_catalog(settings, glue), settings.iceberg_namespace, locks_dir=locks_dir)

    def ensure_tables(self) -> None:
        """Create missing tables, and add columns that newer schemas have; those that only older ones had stay.

        Raises:
            Misconfigured: a release before format 2 created a table.
        """
        from pyiceberg.exceptions import NamespaceAlreadyExistsError, TableAlreadyExistsError

        with catalog_errors("create the tables"):
            try:
                self._catalog.create_namespace_if_not_exists(self._namespace)
            except NamespaceAlreadyExistsError:
                _log.debug("namespace created by another process", namespace=self._namespace)
            for spec in SPECS.values():
                try:
                    table = self._catalog.create_table_if_not_exists(
                        (self._namespace, spec.name),
                        schema=spec.schema(),
                        partition_spec=spec.partitioning(),
                        properties=TABLE_PROPERTIES,
                    )
                except TableAlreadyExistsError:
                    table = self.table(spec.name)
                existing = {field.name for field in table.schema().fields}
                check_release(f"{self._namespace}.{spec.name}", existing)
                if not {name for name, _ in spec.columns} <= existing:
                    with table.update_schema() as update:
                        update.union_by_name(spec.schema())

    def table(self, name: str) -> Table:
        """The current state of a table, for readers that need more than :meth:`scan`."""
        with catalog_errors(f"load {name}"):
            return self._catalog.load_table((self._namespace, name))

    def append(self, table: str, rows: Sequence[PositionedRow], *, offsets: Offsets, source: str) -> int:
        """As :meth:`land`, for callers that need only the number of new rows."""
        return self.land(table, rows, offsets=offsets, source=source).rows

    def land(self, table: str, rows: Sequence[PositionedRow], *, offsets: Offsets, source: str) -> CommitResult:
        """Append rows in one commit that also records the log's offsets; returns the new rows, and their files.

        Args:
            table: its name.
            rows: each with its position on the log.
            offsets: the offset after the last record read, by topic and topic partition.
            source: the consumer group that reads the log: each has offsets of its own.

        Raises:
            Rejected: a value does not fit its column; nothing was appended (:meth:`unfit_rows` finds the row).
        """
        with catalog_errors(f"append to {table}"), self._locks.lock(table):
            target = self._catalog.load_table((self._namespace, table))
            landed = read_offsets(target)
            new_rows = self._recent_ids.new_rows(target, table, rows_beyond(rows, landed.get(source, {})))
            new_rows = without_retracted(new_rows, SPECS[table].id_column, self._retracted(table) if new_rows else {})
            if not new_rows:
                return CommitResult()
            landed[source] = merge_offsets(landed.get(source, {}), offsets)
            with self._recent_ids.own_commit(target, table):
                appended = self._commit(target, table, [row for _, row in new_rows], offsets_to_summary(landed))
        written = {row[SPECS[table].id_column]: row_version(row) for _, row in new_rows}
        self._recent_ids.add(table, written)
        self._delete_retracted(table, written)
        return commit_result(target, appended) if appended else CommitResult()

    def _retracted(self, table: str) -> Mapping[str, str]:
        """Versions of the retractions by artifact id, as far as remembered; none for tables without."""
        if table not in RETRACTABLE_TABLES:
            return {}
        return self._recent_ids.load_all(self.table(RETRACTIONS_TABLE), RETRACTIONS_TABLE)

    def _delete_retracted(self, table: str, written: Mapping[str, str]) -> None:
        """Delete written rows whose retraction landed between the check and the commit; a lock leaves no such gap."""
        if written and not self._locks.exclusive:
            retracted = self._retracted(table)
            late = [key for key, version in written.items() if key in retracted and version <= retracted[key]]
            self.delete_through(table, {key: retracted[key] for key in late})

    def _commit(self, target: Table, table: str, rows: Sequence[Mapping[str, Any]], summary: dict[str, str]) -> int:
        """Append; the same commit deletes existing rows of these ids. Returns the number of appended rows."""
        from pyiceberg.expressions import In

        column = SPECS[table].id_column
        recent = self._recent_ids.load(target, table)
        replaced = [row[column] for row in rows if row[column] in recent]
        with target.transaction() as commit:
            # Another writer may have been here since the memory was filled.
            present = matching_versions(target, In(column, replaced), column) if replaced else {}
            rows = [
                row for row in rows if row_version(row) > present.get(row[column], NO_VERSION) or not row_version(row)
            ]
            if not rows:
                return 0
            data = rows_to_arrow(target, rows)
            older = [row[column] for row in rows if row[column] in present]
            if older:
                summary = summary | renewals_to_summary(data, column, older)
                commit.delete(In(column, older), snapshot_properties=summary)
            commit.append(data, snapshot_properties=summary)
        return len(rows)

    def unfit_rows(self, table: str, rows: Sequence[PositionedRow]) -> list[PositionedRow]:
        """The rows that :meth:`append` would reject, found one by one."""
        target = self.table(table)
        found = []
        for positioned in rows:
            try:
                rows_to_arrow(target, [positioned[1]])
            except Rejected:
                found.append(positioned)
        return found

    def expire_snapshots(self, now: datetime) -> ExpiryResult:
        """Expire old snapshots of every table, and delete the files that only they needed."""
        results = [expire_snapshots(self.table(name), now) for name in SPECS]
        fields = ("snapshots", "files", "size")
        return ExpiryResult(*(sum(getattr(result, field) for result in results) for field in fields))

    def landed_offsets(self, table: str, source: str) -> dict[tuple[str, int], int]:
        """The next offset to land in a table, by topic and topic partition."""
        return read_offsets(self.table(table)).get(source, {})

    def delete_through(self, table: str, versions: Mapping[str, str]) -> None:
        """Delete rows by id (a retraction): those up to the sortable version given with their id.

        A replayed retraction must not delete an artifact that was derived again after it. Unknown ids are ignored.
        """
        from pyiceberg.expressions import In

        if not versions:
            return
        column = SPECS[table].id_column
        with catalog_errors(f"delete rows of {table}"), self._locks.lock(table):
            target = self._catalog.load_table((self._namespace, table))
            # A filter with a version for each of 5,000 ids takes a minute, and few of them have rows.
            lowest = matching_versions(target, In(column, list(versions)), column, min)
            doomed = {row_id: versions[row_id] for row_id, version in lowest.items() if version <= versions[row_id]}
            if doomed:
                summary = offsets_to_summary(read_offsets(target))
                with self._recent_ids.own_commit(target, table):
                    target.delete(through_filter(column, doomed), snapshot_properties=summary)
        self._recent_ids.forget(table, doomed)

    def replace(self, table: str, replacement: Replacement) -> ReplaceResult:
        """Replace rows of one hour in one commit (:mod:`mmplatform.land.lakehouse.replace`).

        Raises:
            Rejected: a value does not fit its column; nothing was changed.
        """
        with catalog_errors(f"replace rows of {table}"), self._locks.lock(table):
            load = partial(self._catalog.load_table, (self._namespace, table))
            result = replace_rows(load, table, replacement, partial(self._retracted, table))
        versions = {str(row[SPECS[table].id_column]): row_version(row) for row in replacement.rows}
        self._delete_retracted(table, {row_id: versions[row_id] for row_id in result.written})
        return result

    def restore(self, table: str, rows: Sequence[PositionedRow]) -> int:
        """Append missing old rows; returns their number. Raises Rejected (see ``restore_rows``)."""
        column = SPECS[table].id_column
        with catalog_errors(f"restore rows of {table}"), self._locks.lock(table):
            wanted = without_retracted(rows, column, self._retracted(table))
            restored = restore_rows(self._catalog.load_table((self._namespace, table)), column, wanted)
        if restored:
            self._delete_retracted(table, {row[column]: row_version(row) for _, row in wanted})
        return restored

    def repair(self, table: str, rows: Sequence[PositionedRow]) -> RepairResult:
        """Append missing rows of a raw table, replace damaged ones. Raises Rejected (see ``repair_rows``)."""
        with catalog_errors(f"repair rows of {table}"), self._locks.lock(table):
            return repair_rows(self._catalog.load_table((self._namespace, table)), SPECS[table].id_column, rows)

    def scan(
        self,
        table: str,
        *,
        hour: datetime | None = None,
        since: datetime | None = None,
        subject_key: str | None = None,
        bucket: int | None = None,
        ids: Sequence[str] | None = None,
        conversations: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Rows, one for each id, the one with the highest version where there are several.

        Args:
            table: its name.
            hour: event times of this hour only (its start, aware of UTC).
            since: event times from this moment on only (aware of UTC).
            subject_key: rows of this subject only (:func:`mmplatform.identity.subject_key`): it prunes to one bucket.
            bucket: rows of the subjects of this bucket only.
            ids: rows with these ids only.
            conversations: rows of these conversations only.
            columns: these columns only; all by default.
        """
        spec = SPECS[table]
        wanted = [name for name, _ in spec.columns] if columns is None else list(columns)
        scan_options = scan_filter(spec.id_column, hour, since, subject_key, ids, conversations)
        order = VERSION_COLUMN if spec.versioned else "log_offset"
        released = ("kind",) if table == QUARANTINE_TABLE else ()
        needed = tuple(dict.fromkeys((*wanted, spec.id_column, order, *released)))
        with catalog_errors(f"read {table}"):
            scan = self._catalog.load_table((self._namespace, table)).scan(selected_fields=needed, **scan_options)
            found = scan_to_arrow(scan, bucket)
        found = newest_row_per_id(found, spec.id_column, order)
        return (without_released(found) if released else found).select(wanted)
