"""Prunes Dagster's own database: old runs with their events, and asset events that belong to no run.

Dagster deletes a run with its events, and ticks by its ``retention`` setting. For the events that sensors report (a
materialization for each table and hour every 30 s) it only offers wiping an asset, which would empty the UI.
This module deletes them through the storage's own tables and connections. These stay, however old:

- the newest event of each kind for each asset and partition, so that a materialized partition stays materialized;
- the newest evaluation of each check;
- a run that any of these belongs to, and the run of the newest event of all: SQLite reuses the id of a deleted last
  row, and sensors remember their position by it.

Entries are deleted in small transactions: the daemon and the webserver write at the same time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_BATCH: Final = 500
_BUSY_S: Final = 30.0
MAX_TICKS_BYTES: Final = 100_000_000
"""Bytes up to which the file of ticks is rewritten, at some 40 MB a second on a slow machine: Dagster's daemon waits
5 s to write to it, and then its tick fails."""
_MIN_FREE_SHARE: Final = 0.1
"""Share of a file that must be free before it is rewritten: VACUUM copies the whole of it."""

_Event: Final = SqlEventLogStorageTable.c
_Check: Final = AssetCheckExecutionsTable.c


@dataclass(frozen=True, slots=True)
class PruneResult:
    """Deleted entries.

    Attributes:
        runs: with all of their events.
        events: rows of asset events without a run.
        event_bytes: their length; a row's indexes take about as much again.
        checks: old evaluations of checks.
        retained_runs: old runs that stay for the newest event of an asset or check.
        prunes_asset_events: false for a storage whose asset events cannot be pruned.
    """

    runs: int = 0
    events: int = 0
    event_bytes: int = 0
    checks: int = 0
    retained_runs: int = 0
    prunes_asset_events: bool = True


@dataclass(frozen=True, slots=True)
class ShrinkResult:
    """Bytes of SQLite's files.

    Attributes:
        busy: files that were locked for too long to be shrunk.
        skipped: files whose shrinking would block their writers for too long.
    """

    before: int = 0
    after: int = 0
    busy: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def prune(instance: dg.DagsterInstance, before: datetime) -> PruneResult:
    """Delete runs that ended and events that were reported before a time, except those named in the module's text."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return _prune_runs(instance, before, None)
    with storage.index_connection() as connection:
        retained_ids = _retained_run_ids(connection)
    runs = _prune_runs(instance, before, retained_ids)
    events, size = _prune_events(storage, before, RUNLESS_RUN_ID, index=True)
    if isinstance(storage, SqliteEventLogStorage):
        # SQLite's storage has a copy of them in a file of its own, for queries by run.
        copies, copies_size = _prune_events(storage, before, RUNLESS_RUN_ID, index=False)
        events, size = events + copies, size + copies_size
    checks = _prune_checks(storage, before)
    return PruneResult(runs.runs, events, size, checks, runs.retained_runs)


def shrink(instance: dg.DagsterInstance, *, max_ticks_bytes: int = MAX_TICKS_BYTES) -> ShrinkResult:
    """Return the free pages of SQLite's files to the disk, except of files that stay locked for half a minute.

    The file of ticks is skipped when it has more than ``max_ticks_bytes`` bytes. Other storages do so by themselves
    (Postgres by its autovacuum, for new rows).
    """
    ticks, busy = _tick_files(instance), []
    skipped = [path for path in ticks if path.stat().st_size > max_ticks_bytes]
    files = [*_event_files(instance), *ticks]
    before = sum(path.stat().st_size for path in files)
    for path in files:
        if path in skipped:
            continue
        try:
            _vacuum(path)
        except sqlite3.OperationalError:
            busy.append(path.name)
    after = sum(path.stat().st_size for path in files)
    return ShrinkResult(before, after, tuple(busy), tuple(path.name for path in skipped))


def _prune_runs(instance: dg.DagsterInstance, before: datetime, retained_ids: set[str] | None) -> PruneResult:
    """``retained_ids``: runs that stay; ``None``: unknown, so every run with an asset stays."""
    old = instance.get_run_records(dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before))
    deleted = retained = 0
    for record in old:
        run_id = record.dagster_run.run_id
        if run_id in retained_ids if retained_ids is not None else _has_assets(instance, run_id):
            retained += 1
            continue
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _delete_run_file(instance, run_id)
        deleted += 1
    return PruneResult(runs=deleted, retained_runs=retained, prunes_asset_events=retained_ids is not None)


def _has_assets(instance: dg.DagsterInstance, run_id: str) -> bool:
    return bool(instance.event_log_storage.get_asset_keys_for_run(run_id))


def _delete_run_file(instance: dg.DagsterInstance, run_id: str) -> None:
    """Deletes the file of a run: SQLite's storage has one for each, and leaves it empty."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{storage.path_for_shard(run_id)}{suffix}").unlink()


def _newest_events() -> Any:
    """Ids of the newest event of each kind, asset and partition."""
    import sqlalchemy as sa

    group = (_Event.asset_key, _Event.dagster_event_type, _Event.partition)
    return sa.select(sa.func.max(_Event.id)).where(_Event.asset_key.is_not(None)).group_by(*group)


def _retained_run_ids(connection: Connection) -> set[str]:
    import sqlalchemy as sa

    last = sa.select(sa.func.max(_Event.id))
    events = sa.select(_Event.run_id).where(sa.or_(_Event.id.in_(_newest_events()), _Event.id.in_(last))).distinct()
    checks = sa.select(_Check.run_id).where(_Check.id.in_(_newest_checks())).distinct()
    return {row[0] for query in (events, checks) for row in connection.execute(query)}


def _prune_events(storage: SqlEventLogStorage, before: datetime, run_id: str, *, index: bool) -> tuple[int, int]:
    """Delete the old asset events without a run from one file, or from the only database; rows, and their length."""
    import sqlalchemy as sa

    def connection() -> Any:
        return storage.index_connection() if index else storage.run_connection(run_id)

    last = sa.select(sa.func.max(_Event.id))
    query = sa.select(_Event.id, sa.func.length(_Event.event)).where(
        _Event.run_id == run_id,
        _Event.timestamp < _naive(before),
        _Event.id.not_in(_newest_events()),
        _Event.id.not_in(last),
    )
    with connection() as reading:
        old = reading.execute(query).fetchall()
    for batch in _batches([row[0] for row in old]):
        with connection() as writing:
            writing.execute(SqlEventLogStorageTable.delete().where(_Event.id.in_(batch)))
            if index:
                writing.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(batch)))
    return len(old), sum(row[1] for row in old)


def _newest_checks() -> Any:
    import sqlalchemy as sa

    return sa.select(sa.func.max(_Check.id)).group_by(_Check.asset_key, _Check.check_name, _Check.partition)


def _prune_checks(storage: SqlEventLogStorage, before: datetime) -> int:
    import sqlalchemy as sa

    old = sa.and_(_Check.evaluation_event_timestamp < _naive(before), _Check.id.not_in(_newest_checks()))
    with storage.index_connection() as reading:
        ids = [row[0] for row in reading.execute(sa.select(_Check.id).where(old))]
    for batch in _batches(ids):
        with storage.index_connection() as writing:
            writing.execute(AssetCheckExecutionsTable.delete().where(_Check.id.in_(batch)))
    return len(ids)


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]


def _naive(timestamp: datetime) -> datetime:
    """A timestamp as the storage writes it."""
    return timestamp.astimezone(UTC).replace(tzinfo=None)


def _event_files(instance: dg.DagsterInstance) -> list[Path]:
    """The files that grow by events: the index, and the copies without a run."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    return [path for name in ("index", RUNLESS_RUN_ID) if (path := Path(storage.path_for_shard(name))).is_file()]


def _tick_files(instance: dg.DagsterInstance) -> list[Path]:
    """The file that grows by ticks, where there is one."""
    path = Path(instance.root_directory) / "schedules" / "schedules.db"
    return [path] if isinstance(instance.schedule_storage, SqliteScheduleStorage) and path.is_file() else []


def _vacuum(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
        pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        if pages and free / pages >= _MIN_FREE_SHARE:
            connection.execute("VACUUM")
        # Changes stay in the write-ahead log until a checkpoint moves them into the file.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
