"""Exclusive lock on a file between the processes and threads of one machine.

The operating system releases it when its process ends, ``kill -9`` included: no stale lock has to be cleared away.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from mmplatform.errors import Unavailable

_POLL_S: Final = 0.05
_VARIABLE: Final = "MMPLATFORM_DATA_DIR"


_DENIED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_WITHOUT_LOCKS: Final = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


class LockTimeout(Exception):
    """Another holder kept the lock for longer than the caller waits."""


@contextmanager
def file_lock(path: Path, *, on_wait: Callable[[], None] = lambda: None, timeout_s: float = 60.0) -> Iterator[None]:
    """Hold the lock until the end of the block.

    The wait is bounded: a suspended holder may never release the lock.

    Args:
        path: the lock file; created where it is missing.
        on_wait: called once when the lock is held elsewhere.
        timeout_s: the longest wait.

    Raises:
        LockTimeout: the lock is still held elsewhere.
        Unavailable: the file cannot be opened or locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A soft lock, filelock's fallback where a file system has no `flock`, would outlive a killed process.
        lock = FileLock(path, fallback_to_soft=False)
        _acquire(lock, on_wait, timeout_s)
    except Timeout:
        raise LockTimeout from None
    except OSError as error:
        raise lock_error(path, error, _VARIABLE) from error
    try:
        yield
    finally:
        lock.release()


def lock_error(path: Path, error: OSError, variable: str) -> Unavailable:
    """The platform's error for a lock file that cannot be opened or locked, with the remedy where one is certain.

    Args:
        path: the lock file.
        error: the failure of the system call.
        variable: the variable that names the directory of the file.
    """
    remedy = ""
    if error.errno in _DENIED:
        remedy = f"; fix the rights on {path.parent}"
    elif error.errno in _WITHOUT_LOCKS:
        remedy = f"; this file system has no locks: move {variable} to one that has"
    return Unavailable(f"cannot lock {path}: {error.strerror or error}{remedy}")


def _acquire(lock: FileLock, on_wait: Callable[[], None], timeout_s: float) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_wait()
        lock.acquire(timeout=timeout_s, poll_interval=_POLL_S)
