"""Turns at the tables of a lakehouse: a courtesy between its writers on one machine, which nothing depends on.

Iceberg's commits are safe without: the quicker one wins, the other tries again. So whoever is suspended inside a turn,
by a debugger say, holds nobody up for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import structlog

from mmplatform.land.file_lock import Held, held

_log = structlog.get_logger(__name__)
_AT_MOST_S: Final = 60.0
"""For so long a run may try to replace an hour; an archiver that waits longer falls behind for nothing."""


class TableTurns:
    """One lock file for each table; ``folder=None``: nobody waits."""

    def __init__(self, folder: Path | None, *, at_most_s: float = _AT_MOST_S) -> None:
        self._folder = folder
        self._at_most_s = at_most_s
        self._given_up: set[str] = set()

    @contextmanager
    def at(self, table: str) -> Iterator[None]:
        """Until the end of the block no other one writes the table, unless somebody did not let go of it in time.

        Whoever was waited for in vain is not waited for again until the lock was free once.

        Raises:
            Unavailable: the lock's file cannot be opened or locked.
        """
        if self._folder is None:
            yield
            return
        path = self._folder / f"{table}.lock"
        with ExitStack() as turn:
            try:
                turn.enter_context(held(path, at_most_s=0.0 if table in self._given_up else self._at_most_s))
                self._given_up.discard(table)
            except Held:
                if table not in self._given_up:
                    _log.warning("somebody does not let go of a table: written without a turn", lock=str(path))
                self._given_up.add(table)
            yield
