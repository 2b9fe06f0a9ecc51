"""One run at a time on an hour of a table, across the processes of one machine: the others wait for their turn.

The stores themselves are safe without it, row by row. What it adds: an hour is of one run's making, whole. Of two runs
with two models each would otherwise win some of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from mmplatform.errors import Unavailable
from mmplatform.land.file_lock import Held, held
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)
_HOUR_S: Final = 3600
_AT_MOST_S: Final = 3600.0
"""Longer than an hour of calls takes; a run that is suspended must not hold up the pool for ever."""


def turns_of(settings: Settings) -> Path:
    """Where the locks of one data directory lie."""
    return settings.data_dir / "run" / "reprocess"


@contextmanager
def turn(folder: Path | None, table: str, hour: datetime, *, at_most_s: float = _AT_MOST_S) -> Iterator[None]:
    """Hold the hour until the end of the block; wait for whoever holds it now.

    Args:
        folder: where the locks of one data directory lie; ``None``: there is nobody to wait for.
        table: what is derived.
        hour: its start, aware of UTC.
        at_most_s: how long to wait.

    Raises:
        Unavailable: the other run does not let go of it; or the lock's file cannot be opened or locked.
    """
    if folder is None:
        yield
        return

    def tell() -> None:
        _log.info("another run derives this hour: waiting for it", table=table, hour=hour.isoformat())

    path = folder / f"{table}.lock"
    with ExitStack() as lock:
        try:
            lock.enter_context(held(path, int(hour.timestamp()) // _HOUR_S, waiting=tell, at_most_s=at_most_s))
        except Held:
            raise Unavailable(
                f"another run has been deriving {table} of {hour:%Y-%m-%d-%H:%M} for over {at_most_s:.0f} s; "
                f"`fuser {path}` names its process: end it, or let it end"
            ) from None
        yield
