"""Old entries of Dagster's own database, taken out: runs with their events, and asset events that belong to no run.

Dagster deletes a run with its events, and ticks by its ``retention`` setting. For the events that sensors report (a
materialization for each table and hour every 30 s) it has nothing but wiping an asset, which would empty the UI. These
go by the storage's own tables and connections here. What stays, however old:

- the newest event of each kind for each asset and partition, so that a partition that is filled stays filled;
- the newest evaluation of each check;
- a run that any of these belongs to, and the run of the newest event of all: SQLite gives the number of a deleted last
  row again, and sensors remember how far they read by it.

Entries go in small transactions: the daemon and the webserver write beside us.
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
TICKS_MOST: Final = 100_000_000
"""Bytes up to which the file of ticks is written anew, at some 40 MB a second on a slow machine: Dagster's daemon waits
5 s to write to it, and then its tick fails."""
_WORTH_IT: Final = 0.1
"""Share of a file that must be free before it is written anew: VACUUM copies the whole of it."""

_Event: Final = SqlEventLogStorageTable.c
_Check: Final = AssetCheckExecutionsTable.c


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went.

    Attributes:
        runs: with all of their events.
        events: rows of asset events without a run.
        event_bytes: their length; a row's indexes take about as much again.
        checks: old evaluations of checks.
        kept_runs: old runs that hold the newest event of something.
        asset_events_known: whether the storage lets its asset events be pruned at all.
    """

    runs: int = 0
    events: int = 0
    event_bytes: int = 0
    checks: int = 0
    kept_runs: int = 0
    asset_events_known: bool = True


@dataclass(frozen=True, slots=True)
class Shrunk:
    """Bytes of SQLite's files.

    Attributes:
        busy: those that somebody held too long to be shrunk.
        left_out: those whose shrinking would hold others up for too long.
    """

    before: int = 0
    after: int = 0
    busy: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def prune(instance: dg.DagsterInstance, before: datetime) -> Pruned:
    """Delete what ended or was reported before a moment, but for what the module's text says."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return _runs(instance, before, None)
    with storage.index_connection() as connection:
        held = _held(connection)
    done = _runs(instance, before, held)
    events, size = _events(storage, before, RUNLESS_RUN_ID, index=True)
    if isinstance(storage, SqliteEventLogStorage):
        # It keeps a copy of them in a file of its own, for those who ask for a run's events.
        more, more_size = _events(storage, before, RUNLESS_RUN_ID, index=False)
        events, size = events + more, size + more_size
    checks = _checks(storage, before)
    return Pruned(done.runs, events, size, checks, done.kept_runs)


def shrink(instance: dg.DagsterInstance, *, ticks_most: int = TICKS_MOST) -> Shrunk:
    """Give the free pages of SQLite's files back to the disk, where nobody holds the file for half a minute.

    The file of ticks is left alone when it has more than ``ticks_most`` bytes. Other storages do so by themselves
    (Postgres by its autovacuum, for new rows).
    """
    ticks, busy = _ticks(instance), []
    left = [path for path in ticks if path.stat().st_size > ticks_most]
    found = [*_files(instance), *ticks]
    before = sum(path.stat().st_size for path in found)
    for path in (each for each in found if each not in left):
        try:
            _vacuum(path)
        except sqlite3.OperationalError:
            busy.append(path.name)
    after = sum(path.stat().st_size for path in found)
    return Shrunk(before, after, tuple(busy), tuple(path.name for path in left))


def _runs(instance: dg.DagsterInstance, before: datetime, held: set[str] | None) -> Pruned:
    """``held``: runs that stay; ``None``: it is not known, so every run with an asset stays."""
    old = instance.get_run_records(dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before))
    gone = kept = 0
    for record in old:
        run_id = record.dagster_run.run_id
        holds = bool(instance.event_log_storage.get_asset_keys_for_run(run_id)) if held is None else run_id in held
        if holds:
            kept += 1
            continue
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _forget_file(instance, run_id)
        gone += 1
    return Pruned(runs=gone, kept_runs=kept, asset_events_known=held is not None)


def _forget_file(instance: dg.DagsterInstance, run_id: str) -> None:
    """SQLite's storage has a file for each run, and leaves it there empty."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{storage.path_for_shard(run_id)}{end}").unlink()


def _newest() -> Any:
    """Ids of the newest event of each kind, asset and partition."""
    import sqlalchemy as sa

    group = (_Event.asset_key, _Event.dagster_event_type, _Event.partition)
    return sa.select(sa.func.max(_Event.id)).where(_Event.asset_key.is_not(None)).group_by(*group)


def _held(connection: Connection) -> set[str]:
    import sqlalchemy as sa

    last = sa.select(sa.func.max(_Event.id))
    asked = sa.select(_Event.run_id).where(sa.or_(_Event.id.in_(_newest()), _Event.id.in_(last))).distinct()
    checks = sa.select(_Check.run_id).where(_Check.id.in_(_newest_checks())).distinct()
    return {row[0] for each in (asked, checks) for row in connection.execute(each)}


def _events(storage: SqlEventLogStorage, before: datetime, run_id: str, *, index: bool) -> tuple[int, int]:
    """Delete the old asset events of no run from one file, or from the only database; rows, and their length."""
    import sqlalchemy as sa

    def connection() -> Any:
        return storage.index_connection() if index else storage.run_connection(run_id)

    last = sa.select(sa.func.max(_Event.id))
    asked = sa.select(_Event.id, sa.func.length(_Event.event)).where(
        _Event.run_id == run_id,
        _Event.timestamp < _naive(before),
        _Event.id.not_in(_newest()),
        _Event.id.not_in(last),
    )
    with connection() as reading:
        old = reading.execute(asked).fetchall()
    for batch in _batches([row[0] for row in old]):
        with connection() as writing:
            writing.execute(SqlEventLogStorageTable.delete().where(_Event.id.in_(batch)))
            if index:
                writing.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(batch)))
    return len(old), sum(row[1] for row in old)


def _newest_checks() -> Any:
    import sqlalchemy as sa

    return sa.select(sa.func.max(_Check.id)).group_by(_Check.asset_key, _Check.check_name, _Check.partition)


def _checks(storage: SqlEventLogStorage, before: datetime) -> int:
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


def _naive(moment: datetime) -> datetime:
    """As the storage writes its timestamps."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _files(instance: dg.DagsterInstance) -> list[Path]:
    """The files that grow by events: those of assets, and their copies of no run."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    return [path for name in ("index", RUNLESS_RUN_ID) if (path := Path(storage.path_for_shard(name))).is_file()]


def _ticks(instance: dg.DagsterInstance) -> list[Path]:
    """The file that grows by ticks."""
    path = Path(instance.root_directory) / "schedules" / "schedules.db"
    return [path] if isinstance(instance.schedule_storage, SqliteScheduleStorage) and path.is_file() else []


def _vacuum(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
        pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        if pages and free / pages >= _WORTH_IT:
            connection.execute("VACUUM")
        # What was written lies in the log beside the file until somebody moves it over.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
