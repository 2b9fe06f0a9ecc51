"""The lineage backend without a configured address: a rotated file in the data directory, bounded in size and count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from errno import ENOSPC
from logging.handlers import RotatingFileHandler
from os import SEEK_END, strerror
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from mmplatform.errors import Unavailable

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

MAX_FILE_BYTES: Final = 10 * 1024 * 1024
"""About 1,200 events: an event has 4 to 12 kB."""

MAX_OLD_FILES: Final = 9
"""Together 100 MB: a quiet night's landings many times over, and about three hours of a stream that never rests."""

_LOCK_S: Final = 5.0


def lineage_file(data_dir: Path) -> Path:
    """Path of the newest file; older ones end in ``.1`` (the youngest) to ``.9``."""
    return data_dir / "lineage" / "events.jsonl"


def lineage_files(newest: Path) -> list[Path]:
    """The existing files, the oldest first."""
    numbered = [newest.with_name(f"{newest.name}.{number}") for number in range(MAX_OLD_FILES, 0, -1)]
    return [path for path in (*numbered, newest) if path.exists()]


def read_lineage_lines(files: Callable[[], Sequence[Path]], newest: Path) -> list[str]:
    """Lines of the files, the oldest first, under the lock of their writers: no file is renamed meanwhile.

    Raises:
        Unavailable: a file cannot be read, or is no text.
    """
    lines: list[str] = []
    lock = newest.with_name(".lock")
    try:
        with FileLock(lock, timeout=_LOCK_S, fallback_to_soft=False) if lock.exists() else nullcontext():
            for path in files():
                lines += path.read_text(encoding="utf-8").splitlines()
    except Timeout:
        raise Unavailable(f"the lineage file {newest} is locked by another process") from None
    except UnicodeDecodeError:
        raise Unavailable(f"{newest} is no file of OpenLineage events: it is not UTF-8") from None
    except OSError as error:
        raise Unavailable(f"the lineage file {newest} cannot be read: {error.strerror}") from error
    return lines


class RotatedFileBackend:
    """Appends one line per event, under a lock: the archiver and Dagster write the same file."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_FILE_BYTES, max_old_files: int = MAX_OLD_FILES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_old_files = max_old_files
        self._lock = FileLock(path.with_name(".lock"), fallback_to_soft=False)

    def send(self, event: RunEvent) -> None:
        """Append. Raises Unavailable: a full disk may get space again."""
        from openlineage.client.serde import Serde

        line = f"{Serde.to_json(event)}\n".encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock.acquire(timeout=_LOCK_S):
                self._rotate(len(line))
                self._append(line)
        except Timeout:
            raise Unavailable(f"the lineage file {self._path} is locked by another process") from None
        except OSError as error:
            raise Unavailable(f"the lineage file {self._path} cannot be written: {error.strerror}") from error

    def _append(self, line: bytes) -> None:
        """Write the whole line or nothing: behind a part of one, the next event would be unreadable too."""
        with self._path.open("ab", buffering=0) as file:
            before = file.seek(0, SEEK_END)
            try:
                written = file.write(line)
                if written != len(line):
                    raise OSError(ENOSPC, strerror(ENOSPC))
            except OSError:
                file.truncate(before)
                raise

    def close(self) -> None:
        """Do nothing: the file is open only while it is written."""

    def _rotate(self, size: int) -> None:
        """Rename the files when the next line does not fit, and delete the oldest."""
        if self._path.exists() and self._path.stat().st_size + size > self._max_bytes:
            handler = RotatingFileHandler(self._path, backupCount=self._max_old_files, delay=True)
            handler.doRollover()
            handler.close()
