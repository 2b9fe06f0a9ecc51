"""A lock of the system on one byte of a file: who writes takes turns by it, within a machine.

It ends with its process, however that ends, and leaves nothing to be cleared away. Where the system has locks of an
open file (Linux) each block has a lock of its own. Elsewhere it is the process's: it does not bind threads of one
process to each other, and whoever leaves a block lets go of all that the process holds of that file.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mmplatform.errors import Unavailable

_OF_OPEN_FILE: Final = getattr(fcntl, "F_OFD_SETLK", None) if sys.platform == "linux" else None
_FLOCK: Final = struct.Struct("hhqqi0q")
"""``struct flock`` with its type, whence, start, length and process id, which has to be 0 for locks of an open file."""

_POLL_S: Final = 0.05


class Held(Exception):
    """Somebody else holds the lock, for longer than the caller waits."""


@contextmanager
def held(
    path: Path, place: int = 0, *, waiting: Callable[[], None] = lambda: None, at_most_s: float = 60.0
) -> Iterator[None]:
    """Hold the byte at ``place`` until the end of the block; wait for whoever holds it now.

    Who holds it may never let go, suspended say; so nobody waits for ever.

    Args:
        path: the file; made where it is not there.
        place: which byte, for as many locks in one file.
        waiting: called once when somebody else holds it.
        at_most_s: how long to wait.

    Raises:
        Held: somebody else still holds it.
        Unavailable: the file cannot be opened or locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise _cannot(path, error) from error
    with file:
        try:
            _take(file.fileno(), place, waiting, at_most_s)
        except OSError as error:
            raise _cannot(path, error) from error
        try:
            yield
        finally:  # closing lets go too, but not while a child that was forked meanwhile has the file open
            _lock(file.fileno(), place, fcntl.F_UNLCK)


def _take(file: int, place: int, waiting: Callable[[], None], at_most_s: float) -> None:
    if _taken(file, place):
        return
    waiting()
    until = time.monotonic() + at_most_s
    # A lock that is waited for inside the system cannot be given up, not even by a signal.
    while time.monotonic() < until:
        time.sleep(min(_POLL_S, at_most_s))
        if _taken(file, place):
            return
    raise Held


def _taken(file: int, place: int) -> bool:
    try:
        _lock(file, place, fcntl.F_WRLCK)
    except (BlockingIOError, PermissionError):  # POSIX lets a system say either
        return False
    return True


def _lock(file: int, place: int, kind: int) -> None:
    if _OF_OPEN_FILE is not None:
        fcntl.fcntl(file, _OF_OPEN_FILE, _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0))
    else:
        how = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB
        fcntl.lockf(file, how, 1, place)


def _cannot(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"cannot take turns by {path}: {error.strerror or error}; mend the rights on the data directory")
