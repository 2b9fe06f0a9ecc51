"""Locks on the tables of a lakehouse: they save retries between writers of one machine; no guarantee depends on them.

Iceberg's commits are safe without: the faster one wins, the other tries again. So a writer that is suspended while it
holds a lock, by a debugger say, does not block the others for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import structlog

from mmplatform.land.file_lock import LockTimeout, file_lock

_log = structlog.get_logger(__name__)
_TIMEOUT_S: Final = 60.0
"""A run retries to replace an hour for as long; an archiver that waits longer only falls behind."""


class TableLocks:
    """One lock file for each table; ``folder=None``: no locks."""

    def __init__(self, folder: Path | None, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._folder = folder
        self._timeout_s = timeout_s
        self._timed_out: set[str] = set()

    @property
    def exclusive(self) -> bool:
        """False when tables are written without their locks."""
        return self._folder is not None and not self._timed_out

    @contextmanager
    def lock(self, table: str) -> Iterator[None]:
        """Hold the table's lock until the end of the block; after a timeout the block runs without it.

        After a timeout there is no further wait for this table until its lock was free once.

        Raises:
            Unavailable: the lock's file cannot be opened or locked.
        """
        if self._folder is None:
            yield
            return
        path = self._folder / f"{table}.lock"
        with ExitStack() as stack:
            try:
                timeout_s = 0.0 if table in self._timed_out else self._timeout_s
                stack.enter_context(file_lock(path, timeout_s=timeout_s))
                self._timed_out.discard(table)
            except LockTimeout:
                if table not in self._timed_out:
                    _log.warning("the lock of a table is not released: written without it", lock=str(path))
                self._timed_out.add(table)
            yield
