"""Sparse index of one segment: the position of a batch for every 32 KiB of log.

Only a cache: it is rebuilt from the log when the file is missing or does not fit it. On disk it is a run of
(first offset, position, largest timestamp before the position) as native 64-bit integers.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from pathlib import Path

INTERVAL_BYTES = 32 * 1024
_WIDTH = 3


class SparseIndex:
    """Positions in a segment by offset and by time; entries are added in log order."""

    __slots__ = ("_before", "_offsets", "_positions", "_saved")

    def __init__(self) -> None:
        self._offsets = array("q")
        self._positions = array("q")
        self._before = array("q")
        self._saved = 0

    def add(self, offset: int, position: int, max_timestamp_before: int) -> None:
        """Add a batch when it is far enough behind the last entry."""
        if self._positions and position - self._positions[-1] < INTERVAL_BYTES:
            return
        self._offsets.append(offset)
        self._positions.append(position)
        self._before.append(max_timestamp_before)

    def position_for(self, offset: int) -> int:
        """Return the position to search from for `offset`."""
        entry = bisect_right(self._offsets, offset) - 1
        return self._positions[entry] if entry >= 0 else 0

    def position_before_time(self, timestamp: int) -> int:
        """Return the position to search from for the first record at or after `timestamp` (ms)."""
        # The column never falls, so every batch before this entry is older than the timestamp.
        entry = bisect_right(self._before, timestamp - 1) - 1
        return self._positions[entry] if entry >= 0 else 0

    def last(self) -> tuple[int, int, int] | None:
        """The last entry: (offset, position, largest timestamp before it)."""
        if not self._positions:
            return None
        return self._offsets[-1], self._positions[-1], self._before[-1]

    def save(self, path: Path) -> None:
        """Append the entries that the file lacks; after an OSError the next save rewrites the file."""
        unsaved = array("q")
        for entry in range(self._saved, len(self._positions)):
            unsaved.extend((self._offsets[entry], self._positions[entry], self._before[entry]))
        if unsaved or not self._saved:
            mode, self._saved = "ab" if self._saved else "wb", 0
            with path.open(mode) as file:
                file.write(unsaved.tobytes())
            self._saved = len(self._positions)

    @classmethod
    def load(cls, path: Path, base_offset: int, limit: int) -> SparseIndex:
        """Entries below position `limit`; an empty index when the file is missing or invalid."""
        index = cls()
        flat = array("q")
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return index
        flat.frombytes(data[: len(data) - len(data) % (_WIDTH * flat.itemsize)])
        offset, position, before = base_offset - 1, -1, -(2**63)
        for start in range(0, len(flat), _WIDTH):
            entry = flat[start], flat[start + 1], flat[start + 2]
            if entry[1] >= limit:
                break
            if entry[0] <= offset or entry[1] <= position or entry[2] < before or (start == 0 and entry[1] != 0):
                return cls()
            offset, position, before = entry
            index._offsets.append(offset)
            index._positions.append(position)
            index._before.append(before)
        # A file with a torn entry, or entries past the limit, is rewritten at the next save.
        complete = len(index._positions) * _WIDTH * flat.itemsize == len(data)
        index._saved = len(index._positions) if complete else 0
        return index
