"""Joins a file that was published in parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from mmplatform.errors import Permanent


def join_parts(name: str, *, size: int) -> Callable[[Path], None]:
    """A build step that joins ``name.part1``, ``name.part2``, … into ``name`` and checks its ``size`` in bytes.

    Raises (when run):
        Permanent: the joined file has another size.
    """

    def join(directory: Path) -> None:
        parts = sorted(directory.glob(f"{name}.part*"), key=lambda part: int(part.suffix.removeprefix(".part")))
        joined = directory / name
        with joined.open("wb") as out:
            for part in parts:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, out, 1 << 20)
        found = joined.stat().st_size
        if found != size:
            raise Permanent(f"{name} joined from {len(parts)} parts has {found} bytes, not {size}: download it again")
        for part in parts:
            part.unlink()

    return join
