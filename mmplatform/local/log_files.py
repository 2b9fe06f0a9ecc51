"""Log file of each process: children append to it themselves, the supervisor bounds its size.

Children write into the file and not through a pipe of the supervisor: a worker never waits for the supervisor, and its
last lines survive when the supervisor is killed. So a file is rotated by copying and truncating it. A line written
between the two is lost, which is acceptable for a log.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

MAX_ROTATED_FILES: Final = 3
MAX_BYTES: Final = 10_000_000
START_PREFIX: Final = "=== "
_TAIL_BYTES: Final = 256_000
_FOLLOW_S: Final = 0.25


def log_path(data_dir: Path, name: str) -> Path:
    """Log file of the process ``name``."""
    return data_dir / "logs" / f"{name}.log"


def write_start_line(path: Path, name: str, started_at: datetime) -> None:
    """Write the line that separates one run of a process from the next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        log.write(f"{START_PREFIX}{name} started at {started_at.isoformat(timespec='milliseconds')}\n")


def rotate(path: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_ROTATED_FILES) -> bool:
    """Move the contents to ``NAME.log.1`` (and that to ``.2`` …) when they exceed ``max_bytes``.

    Raises:
        OSError: the copy failed. The log was emptied all the same: on a full disk it must not grow further.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(max_files - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    copy = path.with_name(f"{path.name}.1")
    with path.open("r+b") as source:
        try:
            with copy.open("wb") as target:
                shutil.copyfileobj(source, target)
        except OSError:
            copy.unlink(missing_ok=True)
            raise
        finally:
            source.truncate(0)
    return True


def tail(path: Path, lines: int) -> list[str]:
    """Return the last ``lines`` lines, or all when there are fewer; empty when there is no file."""
    return _tail_from(path, lines)[0]


def tail_since_start(path: Path, lines: int) -> list[str]:
    """Return the last lines since the process was started; empty when they cannot be read."""
    try:
        found = tail(path, 500)
    except OSError:
        return []
    starts = [number for number, line in enumerate(found) if line.startswith(START_PREFIX)]
    # Without the lines with which a traceback underlines source code.
    shown = [line for line in found[starts[-1] + 1 if starts else 0 :] if line.strip("^~ \t")]
    return shown[-lines:]


def follow(paths: Mapping[str, Path], lines: int, *, wait: bool) -> Iterator[tuple[str, str]]:
    """Yield ``(name, line)``: the last lines of each file, then, with ``wait``, appended lines for ever."""
    positions: dict[str, int] = {}
    for name, path in paths.items():
        found, positions[name] = _tail_from(path, lines)
        yield from ((name, line) for line in found)
    while wait:
        time.sleep(_FOLLOW_S)
        for name, path in paths.items():
            found, positions[name] = _read_from(path, positions[name])
            yield from ((name, line) for line in found)


def _tail_from(path: Path, lines: int) -> tuple[list[str], int]:
    try:
        with path.open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(0, end - _TAIL_BYTES))
            data = log.read(end - log.tell())
    except FileNotFoundError:
        return [], 0
    found = data.decode(errors="replace").splitlines()
    if end > _TAIL_BYTES:
        found = found[1:]  # a partial line
    return (found[-lines:] if lines > 0 else []), end


def _read_from(path: Path, position: int) -> tuple[list[str], int]:
    try:
        with path.open("rb") as log:
            if log.seek(0, 2) < position:  # rotated meanwhile
                position = 0
            log.seek(position)
            data = log.read()
    except FileNotFoundError:
        return [], 0
    complete = data.rfind(b"\n") + 1  # a half-written line waits for its end
    return data[:complete].decode(errors="replace").splitlines(), position + complete
