"""The log that every peer reads: a file with a line for each change, fsynced before it counts as acknowledged.

A hand-written loop keeps its place in it beside its index, and moves it on when the index has what was read: at least
once, which an upsert by id makes once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BATCH = 64
"""Most changes of one write, as the product's deriver has it."""

_IDLE_S = 0.02


def log_of(folder: Path) -> Path:
    """File of the changes of a run."""
    return folder / "arrivals.jsonl"


def files_of(folder: Path) -> Path:
    """Folder of the same changes as files, one for each chat, for a peer that reads folders; else it is missing."""
    return folder / "chats"


def append(folder: Path, changes: list[dict[str, Any]]) -> None:
    """Acknowledge changes: they are on the disk when this returns."""
    files = files_of(folder)
    for change in changes if files.is_dir() else ():
        file = files / f"{change['id']}.json"
        if change["deleted"]:
            file.unlink(missing_ok=True)
        else:
            new = folder / "chat.new"
            new.write_text(json.dumps(change))
            new.replace(file)
    with log_of(folder).open("a", encoding="utf-8") as log:
        log.writelines(json.dumps(change) + "\n" for change in changes)
        log.flush()
        os.fsync(log.fileno())


def follow(
    folder: Path, batch_size: int = BATCH, offset: int | None = None
) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Batches of changes from a place on, by default the kept one, each with the place behind it; without end.

    Of two changes to one id in a batch, only the last.
    """
    offset = _committed_offset(folder) if offset is None else offset
    with log_of(folder).open("rb") as file:
        file.seek(offset)
        while True:
            batch: dict[str, dict[str, Any]] = {}
            while len(batch) < batch_size:
                line = file.readline()
                if not line.endswith(b"\n"):
                    file.seek(offset)
                    break
                offset += len(line)
                change = json.loads(line)
                batch[change["id"]] = change
            if batch:
                yield list(batch.values()), offset
            else:
                time.sleep(_IDLE_S)


def offset_file(folder: Path) -> Path:
    """File in which a loop stores its position."""
    return folder / "place"


def commit_offset(folder: Path, offset: int) -> None:
    """Store the position; the changes before it are in the index."""
    new = folder / "place.new"
    new.write_text(str(offset))
    new.replace(offset_file(folder))


def _committed_offset(folder: Path) -> int:
    try:
        return int(offset_file(folder).read_text())
    except FileNotFoundError:
        return 0
