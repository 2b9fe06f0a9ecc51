"""The Iceberg lakehouse: everything that was said and everything that was derived, cold and cheap, row by row.

The archiver appends, Dagster's assets and ledgers scan. Exactly one row for each id, by three means, in this order:

1. Offsets in the snapshot's summary: what is in the table already, by its place on the log, is not appended again. That
   covers a crash between our commit and the consumer's.
2. A memory of recent ids: an upstream replay brings the same artifact at a new offset; it is left out. Made by another
   version of its deriver or model, or with another text, it is not the same, and replaces: the commit that appends the
   new row deletes the old one. The memory is filled from the newest hours.
3. ``scan`` keeps one row of each id, the latest on the log: the last word when the memory was too short.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from mmplatform.errors import Rejected
from mmplatform.land.lakehouse.arrow import arrow_of, ids_where, one_each, within_hour
from mmplatform.land.lakehouse.catalog import catalog_errors, open_catalog
from mmplatform.land.lakehouse.maintenance.snapshot_expiry import Expired, expire
from mmplatform.land.lakehouse.replace import Replaced, Replacement, replace_rows
from mmplatform.land.lakehouse.restore import restore_rows
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.snapshot_offsets import (
    Landed,
    Offsets,
    Placed,
    furthest,
    landed_in,
    newest_ids,
    not_landed,
    offsets_of,
    renewed_in,
    replaced_since,
    summary_of,
    version_of,
)
from mmplatform.land.lakehouse.table_locks import TableTurns
from mmplatform.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

_log = structlog.get_logger(__name__)

REMEMBERED: Final = 200_000
"""Ids per table: at 100 events a second, over half an hour of replayed artifacts."""

_PROPERTIES: Final = {
    # Each commit writes a metadata file; without this they are kept for ever.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    # One manifest a commit would make every scan open thousands.
    "commit.manifest-merge.enabled": "true",
    "write.parquet.compression-codec": "zstd",
    # Ten tries within 10 s: the default doubles its wait to a minute, and the log would wait with us.
    "commit.retry.num-retries": "10",
    "commit.retry.min-wait-ms": "50",
    "commit.retry.max-wait-ms": "2000",
}


class Lakehouse:
    """All tables of one namespace. One writer for each table at a time is quick; several are safe.

    Every method raises ``Unavailable`` when the catalog or its store does not answer.
    """

    def __init__(
        self, catalog: Catalog, namespace: str, *, remembered: int = REMEMBERED, locks: Path | None = None
    ) -> None:
        """``locks``: where writers of one machine take turns; ``None``: the quicker one wins, the other tries again."""
        self._turns = TableTurns(locks)
        self._catalog = catalog
        self._namespace = namespace
        self._remembered = remembered
        self._recent: dict[str, OrderedDict[str, bytes]] = {}
        self._seen: dict[str, int | None] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, settings: Settings, glue: Callable[[], Any] | None = None) -> Lakehouse:
        """The lakehouse that the settings name; ``glue`` as for ``open_catalog``. Raises Misconfigured, Unavailable."""
        # With a catalog of its own the data directory has all writers: an archiver that commits often would always be
        # quicker than a run, which has more to read between its look and its commit.
        locks = None if settings.iceberg_catalog else settings.data_dir / "lakehouse" / "locks"
        return cls(open_catalog(settings, glue), settings.iceberg_namespace, locks=locks)

    def ensure_tables(self) -> None:
        """Create what is missing, and add columns that newer schemas have at their end."""
        from pyiceberg.exceptions import NamespaceAlreadyExistsError, TableAlreadyExistsError

        with catalog_errors("create the tables"):
            try:
                self._catalog.create_namespace_if_not_exists(self._namespace)
            except NamespaceAlreadyExistsError:
                _log.debug("namespace made by another process", namespace=self._namespace)
            for spec in SPECS.values():
                try:
                    table = self._catalog.create_table_if_not_exists(
                        (self._namespace, spec.name),
                        schema=spec.schema(),
                        partition_spec=spec.partitioning(),
                        properties=_PROPERTIES,
                    )
                except TableAlreadyExistsError:
                    table = self.table(spec.name)
                if {field.name for field in table.schema().fields} < {name for name, _ in spec.columns}:
                    with table.update_schema() as update:
                        update.union_by_name(spec.schema())

    def table(self, name: str) -> Table:
        """The table as it is now, for readers that need more than :meth:`scan`."""
        with catalog_errors(f"load {name}"):
            return self._catalog.load_table((self._namespace, name))

    def append(self, table: str, rows: Sequence[Placed], *, offsets: Offsets, source: str) -> int:
        """As :meth:`land`, for callers that only ask how many rows were new."""
        return self.land(table, rows, offsets=offsets, source=source).rows

    def land(self, table: str, rows: Sequence[Placed], *, offsets: Offsets, source: str) -> Landed:
        """Append rows in one commit that also says how far the log is in the table.

        Args:
            table: its name.
            rows: each with its place on the log.
            offsets: the offset after the last record read, by topic and topic partition.
            source: who reads the log (the consumer group): each keeps offsets of its own.

        Returns:
            What was new, and what the commit wrote for it.

        Raises:
            Rejected: a value does not fit its column; nothing was appended (:meth:`unfit` says which row it is).
        """
        with catalog_errors(f"append to {table}"), self._turns.at(table):
            target = self._catalog.load_table((self._namespace, table))
            landed = offsets_of(target)
            fresh = self._unknown(target, table, not_landed(rows, landed.get(source, {})))
            if not fresh:
                return Landed()
            data = arrow_of(target, [row for _, row in fresh])
            landed[source] = furthest(landed.get(source, {}), offsets)
            self._commit(target, table, data, summary_of(landed))
        self._remember(table, {row[SPECS[table].id_column]: version_of(row) for _, row in fresh})
        return landed_in(target, len(fresh))

    def _commit(self, target: Table, table: str, data: pa.Table, summary: dict[str, str]) -> None:
        """Append; rows of these ids that are there already go with the same commit."""
        from pyiceberg.expressions import In

        column = SPECS[table].id_column
        known = self._memory(target, table)
        replaced = [each for each in data.column(column).to_pylist() if each in known]
        with target.transaction() as commit:
            there = ids_where(target, In(column, replaced), column) if replaced else []
            if there:
                summary = summary | renewed_in(data, column, there)
                commit.delete(In(column, replaced), snapshot_properties=summary)
            commit.append(data, snapshot_properties=summary)

    def unfit(self, table: str, rows: Sequence[Placed]) -> list[Placed]:
        """The rows that :meth:`append` would refuse, found one by one."""
        target = self.table(table)
        found = []
        for placed in rows:
            try:
                arrow_of(target, [placed[1]])
            except Rejected:
                found.append(placed)
        return found

    def expire_snapshots(self, now: datetime) -> Expired:
        """Forget old snapshots of every table, and delete what only they needed."""
        each = [expire(self.table(name), now) for name in SPECS]
        return Expired(*(sum(getattr(one, field) for one in each) for field in ("snapshots", "files", "size")))

    def landed_offsets(self, table: str, source: str) -> dict[tuple[str, int], int]:
        """How far the log is in a table: the next offset, by topic and topic partition."""
        return offsets_of(self.table(table)).get(source, {})

    def remove(self, table: str, before: Mapping[str, int]) -> None:
        """Delete rows by id (a retraction): those that lie on the log before the offset given with their id.

        A retraction that is read again must not take what was made anew behind it. Rows that are not there do nothing.
        """
        from pyiceberg.expressions import And, BooleanExpression, EqualTo, LessThan, Or

        if not before:
            return
        column = SPECS[table].id_column
        each: list[BooleanExpression] = [
            And(EqualTo(column, row_id), LessThan("log_offset", offset)) for row_id, offset in before.items()
        ]
        rows = Or(*each) if len(each) > 1 else each[0]
        with catalog_errors(f"take rows out of {table}"), self._turns.at(table):
            target = self._catalog.load_table((self._namespace, table))
            there = ids_where(target, rows, column)
            if there:
                target.delete(rows, snapshot_properties=summary_of(offsets_of(target)))
        self._forget(table, there)

    def replace(self, table: str, replacement: Replacement) -> Replaced:
        """Put rows of one hour in the place of others, in one commit (:mod:`mmplatform.land.lakehouse.replace`).

        Raises:
            Rejected: a value does not fit its column; nothing was changed.
        """
        with catalog_errors(f"replace rows of {table}"), self._turns.at(table):
            return replace_rows(lambda: self._catalog.load_table((self._namespace, table)), table, replacement)

    def restore(self, table: str, rows: Sequence[Placed]) -> int:
        """Append old rows that are missing; returns how many. Raises Rejected (see ``restore``)."""
        with catalog_errors(f"restore rows of {table}"), self._turns.at(table):
            return restore_rows(self._catalog.load_table((self._namespace, table)), SPECS[table].id_column, rows)

    def scan(
        self,
        table: str,
        *,
        hour: datetime | None = None,
        since: datetime | None = None,
        subject_id: str | None = None,
        ids: Sequence[str] | None = None,
        conversations: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Rows, one for each id, the latest on the log where there are several.

        Args:
            table: its name.
            hour: event times of this hour only (its start, aware of UTC).
            since: event times from this moment on only (aware of UTC).
            subject_id: one person only.
            ids: these only.
            conversations: rows of these only.
            columns: these only; all by default.
        """
        from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, In

        spec = SPECS[table]
        wanted = [name for name, _ in spec.columns] if columns is None else list(columns)
        asked: list[Any] = []
        if hour is not None:
            asked.append(within_hour(hour))
        if since is not None:
            asked.append(GreaterThanOrEqual("event_time", since.isoformat()))
        if subject_id is not None:
            asked.append(EqualTo("subject_id", subject_id))
        if ids is not None:
            asked.append(In(spec.id_column, list(ids)))
        if conversations is not None:
            asked.append(In("conversation_id", list(conversations)))
        how: dict[str, Any] = {"row_filter": And(*asked) if len(asked) > 1 else asked[0]} if asked else {}
        needed = tuple(dict.fromkeys((*wanted, spec.id_column, "log_offset")))
        with catalog_errors(f"read {table}"):
            found = self._catalog.load_table((self._namespace, table)).scan(selected_fields=needed, **how).to_arrow()
        return one_each(found, spec.id_column).select(wanted)

    def _unknown(self, target: Table, table: str, rows: Iterable[Placed]) -> list[Placed]:
        """Rows whose id is neither in the table, as far as we remember, nor twice in the batch: the last one counts."""
        column = SPECS[table].id_column
        recent = self._memory(target, table)
        latest = {row[column]: (position, row) for position, row in rows}
        return [placed for row_id, placed in latest.items() if recent.get(row_id) != version_of(placed[1])]

    def _memory(self, target: Table, table: str) -> OrderedDict[str, bytes]:
        with self._lock:
            # What a reprocessing run replaced in another process is not as we remember it.
            if table not in self._recent or replaced_since(target, self._seen.get(table)):
                self._recent[table] = newest_ids(target, SPECS[table].id_column, self._remembered)
            self._seen[table] = target.metadata.current_snapshot_id
            return self._recent[table]

    def _remember(self, table: str, versions: Mapping[str, bytes]) -> None:
        with self._lock:
            recent = self._recent[table]
            recent.update(versions)
            while len(recent) > self._remembered:
                recent.popitem(last=False)

    def _forget(self, table: str, ids: Iterable[str]) -> None:
        """What was taken back may be made again."""
        with self._lock:
            for each in ids:
                self._recent.get(table, OrderedDict()).pop(each, None)
