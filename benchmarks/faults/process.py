"""``python -m benchmarks.faults.process BOARD SERVICE COMMAND…``: one process of the stack, which can be held down.

It waits while the board holds the service, so that a killed server stays away for as long as the test wants. A worker
then runs in this process, with a slow disk (each call of the blobs' port, each landing in the lakehouse waits for
``disk`` seconds) and a wrong clock (``clock-SERVICE`` seconds off). Any other command takes this process over.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

from benchmarks.faults.board import Board, Dial

WORKER = ("-m", "mmplatform.worker")


def main() -> int:
    board, service, command = Board(Path(sys.argv[1])), sys.argv[2], sys.argv[3:]
    while board.is_paused(service):
        time.sleep(0.05)
    if tuple(command[1:3]) != WORKER:
        os.execvp(command[0], command)  # noqa: S606 - the stack's own command
    set_wrong(Dial(board, f"clock-{service}"))
    slow_down(Dial(board, "disk"), lakehouse=service.startswith("archive"))
    from mmplatform import worker

    return worker.main(command[3:])


def set_wrong(offset: Callable[[], float]) -> None:
    """The wall clock of this process is off; intervals (``time.monotonic``) are not, as with a step of the system's.

    Before anything else of the platform is imported: modules keep the function that they imported.
    """
    from mmplatform import events

    right = time.time
    time.time = lambda: right() + offset()
    events.utc_now = lambda: datetime.fromtimestamp(time.time(), UTC)


def slow_down(delay: Callable[[], float], *, lakehouse: bool) -> None:
    """Delays at the two ports behind which a disk lies."""
    from mmplatform.land.blobs.file_store import FileBlobs

    ports: list[tuple[type, str]] = [(FileBlobs, "put"), (FileBlobs, "get")]
    if lakehouse:
        from mmplatform.land.lakehouse.store import Lakehouse

        ports.append((Lakehouse, "land"))
    for owner, name in ports:
        setattr(owner, name, _late(getattr(owner, name), delay))


def _late(call: Callable[..., Any], delay: Callable[[], float]) -> Callable[..., Any]:
    @wraps(call)
    def late(*arguments: Any, **named: Any) -> Any:
        time.sleep(delay())
        return call(*arguments, **named)

    return late


if __name__ == "__main__":
    sys.exit(main())
