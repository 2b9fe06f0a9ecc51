"""The separate reader: polls an index, and tells when each thing was first there, and at the end all that is there."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.1
DELETED = 0
"""Version of what was there and is no longer."""


@dataclass(frozen=True, slots=True)
class Row:
    """A passage: its id, its number in the run, and which version of its text."""

    id: str
    n: int
    version: int


Rows = Callable[[int], list[Row]]


def watch(folder: Path, rows: Rows) -> None:
    """Note what is new until a file ``stop`` lies in the folder; then all that is there.

    ``seen.jsonl`` gets a line for each thing and version, with the moment; ``there.json`` all of the end. While a file
    ``look-again`` lies there, each look is at everything, and what is no longer there gets a line as version 0. A file
    ``forget`` is taken away and all counts as new again: an index in memory may not have what it had before a kill.
    """
    seen: set[tuple[int, int]] = set()
    lowest = 0  # all before it were seen: an index that grows is not read from its start each time
    with (folder / "seen.jsonl").open("a", encoding="utf-8") as out:
        while not (folder / "stop").exists():
            begun = time.monotonic()
            if (folder / "forget").exists():
                seen.clear()
                lowest = 0
                out.truncate(0)
                (folder / "forget").unlink()
            everything = (folder / "look-again").exists()
            found = rows(0 if everything else lowest)
            news = [(row.n, row.version) for row in found]
            if everything and found:  # nothing at all: the server is away, and no chat is deleted
                news += [(n, DELETED) for n in sorted({n for n, _ in seen} - {row.n for row in found})]
            for new in news:
                if new not in seen:
                    seen.add(new)
                    out.write(json.dumps([*new, time.time()]) + "\n")
            out.flush()
            while (lowest, 1) in seen:
                lowest += 1
            time.sleep(max(0.0, POLL_S - (time.monotonic() - begun)))
    present = [[row.id, row.n, row.version] for row in rows(0)]
    (folder / "there.new").write_text(json.dumps(present))
    (folder / "there.new").replace(folder / "there.json")


def main(index: Callable[[Path, Path], None], reader: Callable[[Path], Rows]) -> None:
    """A peer's command line: ``index FOLDER MODEL`` or ``read FOLDER``."""
    folder = Path(sys.argv[2])
    if sys.argv[1] == "index":
        index(folder, Path(sys.argv[3]))
    else:
        watch(folder, reader(folder))
