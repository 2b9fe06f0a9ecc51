"""One run at a time on an hour of a table, across the processes of one machine: the others wait for their turn.

The stores themselves are safe without it, row by row. What it adds: an hour is of one run's making, whole. Of two runs
with two models each would otherwise win some of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from mmplatform.land.locks import held

_log = structlog.get_logger(__name__)
_HOUR_S: Final = 3600


@contextmanager
def turn(folder: Path | None, table: str, hour: datetime) -> Iterator[None]:
    """Hold the hour until the end of the block; wait for whoever holds it now.

    Args:
        folder: where the locks of one data directory lie; ``None``: there is nobody to wait for.
        table: what is derived.
        hour: its start, aware of UTC.

    Raises:
        Unavailable: the lock's file cannot be opened or locked.
    """
    if folder is None:
        yield
        return

    def tell() -> None:
        _log.info("another run derives this hour: waiting for it", table=table, hour=hour.isoformat())

    with held(folder / f"{table}.lock", int(hour.timestamp()) // _HOUR_S, waiting=tell):
        yield
