"""A lock of the system on one byte of a file: processes of one machine take turns by it.

It ends with its process, however that ends, and leaves nothing to be cleared away. It does not bind threads of one
process to each other.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmplatform.errors import Unavailable


@contextmanager
def held(path: Path, place: int = 0, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the byte at ``place`` until the end of the block; wait for whoever holds it now.

    Args:
        path: the file; made where it is not there.
        place: which byte, for as many locks in one file.
        waiting: called once when somebody else holds it.

    Raises:
        Unavailable: the file cannot be opened or locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise _cannot(path, error) from error
    with file:  # closing it lets go
        try:
            _take(file.fileno(), place, waiting)
        except OSError as error:
            raise _cannot(path, error) from error
        yield


def _take(file: int, place: int, waiting: Callable[[], None]) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except (BlockingIOError, PermissionError):  # POSIX lets a system say either
        waiting()
        fcntl.lockf(file, fcntl.LOCK_EX, 1, place)


def _cannot(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"cannot take turns by {path}: {error.strerror or error}; mend the rights on the data directory")
