"""Private files: what a process writes can be read by its own user only, and so can the data directory.

The data directory has customers' words: log segments, blobs, tables, the index. Every entry point that writes there
calls :func:`use_private_umask`; the processes that it starts inherit the mask.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import structlog

_PRIVATE_UMASK: Final = 0o077
_OTHERS: Final = 0o077
_log = structlog.get_logger(__name__)


def use_private_umask() -> None:
    """Create files with mode 0600 and directories with mode 0700 from now on."""
    os.umask(_PRIVATE_UMASK)


def loose_mode(data_dir: Path) -> int | None:
    """Return the mode of a data directory that its group or others may enter; None for a private or missing one."""
    try:
        mode = data_dir.stat().st_mode & 0o7777
    except OSError:
        return None
    return mode if mode & _OTHERS else None


def restrict_data_dir(data_dir: Path) -> None:
    """Create a data directory, or take its rights from group and others; a warning when it is another user's.

    A mounted volume belongs to root, and its group gives the right to write.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = loose_mode(data_dir)
        if mode is not None:
            data_dir.chmod(mode & ~_OTHERS)
            _log.info("data directory restricted to its owner", path=str(data_dir), mode_before=f"{mode:04o}")
    except OSError as error:
        _log.warning(
            "the data directory's rights cannot be restricted: other users of this machine may read it",
            path=str(data_dir),
            reason=error.strerror,
        )
