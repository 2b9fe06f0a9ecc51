"""Orders to the processes of the stack in a fault run: small files in one folder, read again and again."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_POLL_INTERVAL_S: Final = 0.1


class Board:
    """One folder; any number of processes look at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def hold(self, service: str) -> None:
        """Whoever starts this service now waits, until it is let go."""
        (self.folder / f"hold-{service}").touch()

    def let_go(self, service: str) -> None:
        """The reverse of :meth:`hold`."""
        (self.folder / f"hold-{service}").unlink(missing_ok=True)

    def is_paused(self, service: str) -> bool:
        """True when the service may not start."""
        return (self.folder / f"hold-{service}").exists()

    def set(self, what: str, number: float) -> None:
        """Write a number down, whole: a reader sees the old one or the new one."""
        draft = self.folder / f"{what}.draft"
        draft.write_text(str(number))
        draft.replace(self.folder / what)

    def get(self, what: str) -> float:
        """A number that was written down, or 0."""
        with suppress(OSError, ValueError):
            return float((self.folder / what).read_text())
        return 0.0


class Dial:
    """One number of the board, read ten times a second at most."""

    def __init__(self, board: Board, what: str) -> None:
        self._board = board
        self._what = what
        self._cached = 0.0
        self._next = 0.0

    def __call__(self) -> float:
        """The number."""
        now = time.monotonic()
        if now >= self._next:
            self._cached = self._board.get(self._what)
            self._next = now + _POLL_INTERVAL_S
        return self._cached
