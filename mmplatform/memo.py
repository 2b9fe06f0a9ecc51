"""Memo of model results: the same bytes are never derived twice by the same model.

Several processes share one SQLite file (WAL). An entry never changes, so that readers need no lock. A crash
(``synchronous=NORMAL``) may lose entries, which are computed again, but never damages one.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from mmplatform.errors import Unavailable

_MAX_KEYS_PER_QUERY: Final = 500
"""Below SQLite's oldest limit on the parameters of a statement (999)."""


class SqliteMemo:
    """Memo of all processes on one machine, in one file. Safe across threads and processes."""

    def __init__(self, path: Path, *, busy_s: float = 30.0) -> None:
        """Open or create; ``busy_s`` is the time that a writer waits for another one.

        Raises:
            Unavailable: the file cannot be opened.
        """
        self._path = path
        self._lock = threading.Lock()
        with self._as_unavailable():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
            self._prepare(busy_s)

    def _prepare(self, busy_s: float) -> None:
        # When two processes switch a new file to WAL at once, SQLite answers the second "locked" without waiting.
        retrying = Retrying(
            retry=retry_if_exception(lambda error: "locked" in str(error)),
            stop=stop_after_delay(busy_s),
            wait=wait_random(0.01, 0.1),
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS memo (deriver TEXT NOT NULL, key TEXT NOT NULL, answer BLOB NOT NULL, "
                    "PRIMARY KEY (deriver, key)) WITHOUT ROWID"
                )

    def get_many(self, deriver: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The cached entries among ``keys``. Raises ``Unavailable``."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, bytes] = {}
        with self._lock, self._as_unavailable():
            for start in range(0, len(wanted), _MAX_KEYS_PER_QUERY):
                batch = wanted[start : start + _MAX_KEYS_PER_QUERY]
                placeholders = ",".join("?" * len(batch))
                rows = self._db.execute(
                    f"SELECT key, answer FROM memo WHERE deriver = ? AND key IN ({placeholders})",  # noqa: S608 (placeholders only)
                    (deriver, *batch),
                )
                found.update(rows)
        return found

    def put_many(self, deriver: str, entries: Mapping[str, bytes]) -> None:
        """Store all or none; an existing entry stays. Raises ``Unavailable``."""
        if not entries:
            return
        with self._lock, self._as_unavailable(), self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO memo VALUES (?, ?, ?)",
                [(deriver, key, answer) for key, answer in entries.items()],
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")  # takes the write lock at once, where the busy timeout applies
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _as_unavailable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                f"the memo {self._path} does not answer: {error}; if it is damaged, delete it: it is only a cache"
            ) from error


class MemoryMemo:
    """In-memory memo of one process, for tests and one-off runs."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], bytes] = {}

    def get_many(self, deriver: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The cached entries among ``keys``."""
        return {key: self._answers[deriver, key] for key in keys if (deriver, key) in self._answers}

    def put_many(self, deriver: str, entries: Mapping[str, bytes]) -> None:
        """Store; an existing entry stays."""
        for key, answer in entries.items():
            self._answers.setdefault((deriver, key), bytes(answer))
