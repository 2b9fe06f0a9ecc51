"""Memory left under the limits of this process's control groups (a container's, a service's), versions 1 and 2.

``psutil`` reads the machine's memory, of which a container may have only a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NO_LIMIT: Final = 2**60
"""Version 1 reports the largest number of pages when there is no limit."""

_FILES: Final = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)
"""For each version: limit, use, and the part of the use that the kernel reclaims when needed."""


def memory_left(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the bytes until the nearest limit; None when there is no limit or it cannot be read."""
    return min((left for group in _groups(root, own) if (left := _left(group)) is not None), default=None)


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """Yield the directories of the process's group and its parents: each may set a limit."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mounted = root / "memory" if controllers else root
        # A container may see its host's path, of which only the end is mounted: a missing directory limits nothing.
        group = mounted if ".." in Path(path).parts else mounted / path.lstrip("/")
        yield from (group, *(above for above in group.parents if above.is_relative_to(mounted)))


def _left(group: Path) -> int | None:
    for limit, used, reclaimable in _FILES:
        try:
            max_bytes = (group / limit).read_text().strip()
            if max_bytes == "max" or int(max_bytes) >= _NO_LIMIT:
                continue
            now = int((group / used).read_text())
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        return max(0, int(max_bytes) - now + sum(int(stat.get(name, 0)) for name in reclaimable))
    return None
