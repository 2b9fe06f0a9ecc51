"""Journal of the stack: ``logs/supervisor.log``, and the last few lines for the live table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from mmplatform.events import utc_now

_RECENT: Final = 4


class Journal:
    """Appends a line for each event, and passes it to ``on_line``. A write error is noted once and stops no service."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened for appending, so that the rotation by truncation does not leave a hole.
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._on_line = on_line
        self._failing = False
        self.recent: deque[str] = deque(maxlen=_RECENT)

    def note(self, service: str, message: str, level: str = "info") -> None:
        """Append a line on ``service``."""
        now = utc_now()
        self._publish(f"{now.astimezone():%H:%M:%S} {service}: {message}")
        try:
            self._file.write(f"{now.isoformat(timespec='milliseconds')} {level:<7} {service}: {message}\n")
        except OSError as error:
            if not self._failing:
                self._failing = True
                self._publish(f"{now.astimezone():%H:%M:%S} cannot write {self._file.name}: {error.strerror}")
        else:
            self._failing = False

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # buffered lines that could not be written
            self._file.close()

    def _publish(self, text: str) -> None:
        self.recent.append(text)
        self._on_line(text)
