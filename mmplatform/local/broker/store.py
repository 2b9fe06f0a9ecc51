"""Broker metadata in SQLite: topics, offsets, group members, checkpoints, counters.

Reads happen once, at start. A writer thread puts all waiting writes into one transaction, so that concurrent commits
share an fsync (synchronous=FULL). The future that `write` returns is done when the statements are on disk.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from mmplatform.local.broker.errors import StorageFailedError

_log = structlog.get_logger(__name__)

Value = str | int | float | bytes | None
Statement = tuple[str, Sequence[Value]]

_SCHEMA = """
create table if not exists facts (name text primary key, value text not null);
create table if not exists topics (
    id text primary key, name text unique not null, partitions integer not null, configs text not null);
create table if not exists deleted_topics (id text primary key, name text not null);
create table if not exists partitions (
    topic_id text not null, partition integer not null, log_start integer not null default 0,
    segment integer not null default 0, position integer not null default 0, producers text not null default '[]',
    cleaned integer not null default 0, append_time integer not null default -1,
    primary key (topic_id, partition));
create table if not exists offsets (
    group_id text not null, topic text not null, partition integer not null, offset integer not null,
    leader_epoch integer not null, metadata text, primary key (group_id, topic, partition));
create table if not exists groups (
    group_id text primary key, generation integer not null, protocol_type text not null, protocol text,
    leader text);
create table if not exists members (
    group_id text not null, member_id text not null, instance_id text, client_id text not null,
    client_host text not null, session_timeout real not null, rebalance_timeout real not null,
    protocols blob not null, assignment blob not null, primary key (group_id, member_id));
"""
_LATER_PARTITION_COLUMNS = {"append_time": "integer not null default -1"}


class Store:
    """One SQLite file; opened before the event loop serves, closed after it."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("pragma journal_mode=wal")
        self._database.execute("pragma synchronous=full")
        self._database.executescript(_SCHEMA)
        self._add_missing_columns()
        self._queue: queue.SimpleQueue[tuple[Sequence[Statement], asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start accepting writes from `loop`."""
        self._loop = loop
        self._thread.start()

    def read(self, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """Rows of a query; only before `start`."""
        return list(self._database.execute(sql, parameters))

    def fact(self, name: str, default: str) -> str:
        """Return a named value, set to `default` when it is missing; only before `start`."""
        self._database.execute("insert or ignore into facts values (?, ?)", (name, default))
        return str(self._database.execute("select value from facts where name = ?", (name,)).fetchone()[0])

    def write(self, statements: Iterable[Statement]) -> asyncio.Future[None]:
        """Apply the statements, all or none; the future is done when they are on disk.

        It raises StorageFailedError when they were not stored.
        """
        if self._loop is None:
            raise RuntimeError("the store was written before it was started")
        done: asyncio.Future[None] = self._loop.create_future()
        done.add_done_callback(_retrieve)  # awaiting it is optional
        self._queue.put((tuple(statements), done))
        return done

    def _add_missing_columns(self) -> None:
        """Bring a file of an earlier version up to the schema."""
        existing = {str(row[0]) for row in self._database.execute("select name from pragma_table_info('partitions')")}
        for name, kind in _LATER_PARTITION_COLUMNS.items():
            if name not in existing:
                self._database.execute(f"alter table partitions add column {name} {kind}")

    def close(self) -> None:
        """Apply what is waiting, then close the file."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._database.close()

    def _run(self) -> None:
        closing = False
        while not closing:
            waiting = [self._queue.get()]
            while not self._queue.empty():
                waiting.append(self._queue.get())
            closing = None in waiting
            self._apply([item for item in waiting if item is not None])

    def _apply(self, waiting: list[tuple[Sequence[Statement], asyncio.Future[None]]]) -> None:
        outcome: list[tuple[asyncio.Future[None], Exception | None]] = []
        try:
            self._database.execute("begin immediate")
            for statements, done in waiting:
                outcome.append((done, self._apply_in_savepoint(statements)))
            self._database.execute("commit")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                # If the rollback fails, the next "begin" fails too: no write is reported as stored.
                with suppress(sqlite3.Error):
                    self._database.execute("rollback")
            outcome = [(done, error) for _, done in waiting]
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_settle, outcome)

    def _apply_in_savepoint(self, statements: Sequence[Statement]) -> Exception | None:
        self._database.execute("savepoint one")
        try:
            for sql, parameters in statements:
                self._database.execute(sql, parameters)
        except Exception as error:  # any error: the thread goes on, and the caller gets it
            if not self._database.in_transaction:
                raise  # on a full disk SQLite gives up the whole transaction, its savepoints included
            self._database.execute("rollback to one")
            self._database.execute("release one")
            return error
        self._database.execute("release one")
        return None


def _settle(outcome: list[tuple[asyncio.Future[None], Exception | None]]) -> None:
    for done, error in outcome:
        if error is not None:
            _log.error("store_write_failed", error=str(error))
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(StorageFailedError(f"the store: {error}"))


def _retrieve(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.exception()
