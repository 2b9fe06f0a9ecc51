"""Recent ids: a writer's memory of a table's last rows, so that a replayed artifact is not appended again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.land.lakehouse.snapshot_offsets import (
    PositionedRow,
    newest_versions,
    replaced_since,
    row_version,
    versions_added_since,
)
from mmplatform.versions import NO_VERSION

if TYPE_CHECKING:
    from pyiceberg.table import Table

MAX_REMEMBERED_IDS: Final = 200_000
"""Ids per table: at 100 events a second, over half an hour of replayed artifacts."""


class RecentIds:
    """Sortable versions of recent rows by table and id; thread-safe."""

    def __init__(self, max_ids: int = MAX_REMEMBERED_IDS) -> None:
        self._max_ids = max_ids
        self._versions: dict[str, OrderedDict[str, str]] = {}
        self._seen_snapshots: dict[str, int | None] = {}
        self._complete_until: dict[str, int | None] = {}
        self._lock = threading.Lock()

    def new_rows(self, target: Table, table: str, rows: Iterable[PositionedRow]) -> list[PositionedRow]:
        """Rows that are newer than the table's, as far as remembered; of several with one id the newest one."""
        column = SPECS[table].id_column
        recent = self.load(target, table)
        newest: dict[str, PositionedRow] = {}
        for positioned in rows:
            present = newest.get(positioned[1][column])
            if present is None or row_version(positioned[1]) > row_version(present[1]):
                newest[positioned[1][column]] = positioned
        return [
            positioned
            for row_id, positioned in newest.items()
            if row_id not in recent or row_version(positioned[1]) > recent[row_id]
        ]

    def load(self, target: Table, table: str) -> OrderedDict[str, str]:
        """The table's remembered versions, with the rows of other writers since the last call.

        Without them, two archivers between which a topic partition moves would both land a repeated event. The newest
        hours are read where the memory is empty, or stale because a run in another process replaced rows.
        """
        column, seen = SPECS[table].id_column, self._seen_snapshots.get(table)
        with self._lock:
            added = None
            if table in self._versions and not replaced_since(target, seen):
                added = versions_added_since(target, column, seen)
            if added is None:
                self._versions[table] = newest_versions(target, column, self._max_ids)
            else:
                self._remember(table, added)
            self._seen_snapshots[table] = target.metadata.current_snapshot_id
            return self._versions[table]

    @contextmanager
    def own_commit(self, target: Table, table: str) -> Iterator[None]:
        """Commit within the block: its rows are known, and need not be read again."""
        before = target.metadata.current_snapshot_id
        yield
        with self._lock:
            if self._seen_snapshots.get(table) == before:  # else another writer's rows lie between
                self._seen_snapshots[table] = target.metadata.current_snapshot_id

    def load_all(self, target: Table, table: str) -> OrderedDict[str, str]:
        """The same, with the rows that other writers added since the last call."""
        with self._lock:
            added = None
            if table in self._complete_until:
                added = versions_added_since(target, SPECS[table].id_column, self._complete_until[table])
            if added is None:
                self._versions[table] = newest_versions(target, SPECS[table].id_column, self._max_ids)
            else:
                self._remember(table, added)
            self._complete_until[table] = self._seen_snapshots[table] = target.metadata.current_snapshot_id
            return self._versions[table]

    def add(self, table: str, versions: Mapping[str, str]) -> None:
        """Remember appended rows; the oldest ids beyond the limit are dropped."""
        with self._lock:
            self._remember(table, versions)

    def _remember(self, table: str, versions: Mapping[str, str]) -> None:
        recent = self._versions.setdefault(table, OrderedDict())
        for row_id, version in versions.items():
            recent[row_id] = max(recent.get(row_id, NO_VERSION), version)
        while len(recent) > self._max_ids:
            recent.popitem(last=False)

    def forget(self, table: str, ids: Iterable[str]) -> None:
        """Forget retracted ids: they may be derived again."""
        with self._lock:
            for row_id in ids:
                self._versions.get(table, OrderedDict()).pop(row_id, None)
