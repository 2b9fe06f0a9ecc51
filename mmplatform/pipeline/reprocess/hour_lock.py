"""Lock on one hour of one table: runs in other processes of the machine wait for their turn.

The stores are safe without it, row by row. The lock makes an hour the result of one run: of two runs with two models
each would otherwise win some of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from mmplatform.errors import Unavailable
from mmplatform.land.file_lock import LockTimeout, file_lock
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)
_MAX_WAIT_S: Final = 3600.0
"""Longer than an hour of calls takes; a suspended run must not block the pool for ever."""


def hour_locks_dir(settings: Settings) -> Path:
    """The folder with the locks of one data directory."""
    return settings.data_dir / "run" / "reprocess"


@contextmanager
def lock_hour(folder: Path | None, table: str, hour: datetime, *, timeout_s: float = _MAX_WAIT_S) -> Iterator[None]:
    """Hold the hour until the end of the block; wait for the run that holds it now.

    Args:
        folder: where the locks of one data directory lie; ``None``: no lock is taken.
        table: the table that is derived.
        hour: its start, aware of UTC.
        timeout_s: how long to wait.

    Raises:
        Unavailable: the other run does not release it, or the lock's file cannot be opened or locked.
    """
    if folder is None:
        yield
        return

    def log_wait() -> None:
        _log.info("another run derives this hour: waiting for it", table=table, hour=hour.isoformat())

    path = folder / f"{table}-{hour.astimezone(UTC):%Y-%m-%d-%H}.lock"
    with ExitStack() as lock:
        try:
            lock.enter_context(file_lock(path, on_wait=log_wait, timeout_s=timeout_s))
        except LockTimeout:
            raise Unavailable(
                f"another run has been deriving {table} of {hour:%Y-%m-%d-%H:%M} for over {timeout_s:.0f} s; "
                f"`fuser {path}` names its process: end it, or let it end"
            ) from None
        # Deleted while it is locked: a backfill of a year leaves no 8,760 files. A waiting run opens a new one.
        lock.callback(path.unlink, missing_ok=True)
        yield
