"""Group fsync: one flush at a time per partition; batches that arrive meanwhile share the next one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from mmplatform.local.broker.log.partition import FlushTarget, PartitionLog

_log = structlog.get_logger(__name__)
_THREADS = 4
EXIT_REFUSED: Final = 3


def halt(log: PartitionLog, error: OSError) -> None:
    """End the process at once, as Kafka does: its supervisor restarts it, and recovery reads the disk.

    Going on would be worse: the system may report the failure only once, and the next flush as a success.
    """
    _log.critical("halted", directory=str(log.directory), error=str(error))
    os._exit(EXIT_REFUSED)


class Flusher:
    """Runs fdatasync off the event loop and notifies the logs when their bytes are on disk.

    `on_refusal` is called, on the event loop, when the disk refuses a flush; the log has then failed for good.
    """

    def __init__(self, on_refusal: Callable[[PartitionLog, OSError], None] = halt) -> None:
        self._on_refusal = on_refusal
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="flush")
        self._running: dict[PartitionLog, asyncio.Task[None]] = {}

    def request(self, log: PartitionLog) -> None:
        """Start a flush of everything appended to `log` so far."""
        if log not in self._running and log.needs_flush:
            self._running[log] = asyncio.get_running_loop().create_task(self._flush(log))

    async def _flush(self, log: PartitionLog) -> None:
        loop = asyncio.get_running_loop()
        try:
            while log.needs_flush:
                target = log.flush_target()
                try:
                    await loop.run_in_executor(self._pool, _sync, log, target)
                except OSError as error:
                    log.fail()
                    self._on_refusal(log, error)
                    return
                log.flushed(target)
        finally:
            del self._running[log]

    async def drain(self, logs: Iterable[PartitionLog] | None = None) -> None:
        """Wait for the flushes of `logs`, or of all, that are under way."""
        chosen = list(self._running) if logs is None else list(logs)
        tasks = [self._running[log] for log in chosen if log in self._running]
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """End the threads; after `drain`."""
        self._pool.shutdown(wait=True)


def _sync(log: PartitionLog, target: FlushTarget) -> None:
    for segment, _ in target.sizes:
        os.fdatasync(segment.writer())
    if any(not segment.directory_synced for segment, _ in target.sizes):
        sync_directory(log.directory)


def sync_directory(directory: os.PathLike[str]) -> None:
    """Make created, renamed and removed names in `directory` durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
