"""Health probe: runs a blocking check in a thread, with a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from mmplatform.errors import Busy, Permanent, PlatformError, Unavailable
from mmplatform.telemetry.logs import safe_error_fields

_log = structlog.get_logger(__name__)


class HealthProbe:
    """Repeatable blocking check with a timeout.

    At most one check runs at a time: a thread cannot be stopped, and hanging checks would soon occupy all the threads
    that handle events. Not thread-safe: for one event loop.
    """

    def __init__(self, check: Callable[[], object], *, timeout_s: float) -> None:
        self._check = check
        self._timeout_s = timeout_s
        self._running: asyncio.Task[object] | None = None

    async def status(self) -> str:
        """Run the check: ``ok``, or the failure in a word without any address, since the endpoint is public."""
        running = self._running = self._running or asyncio.create_task(asyncio.to_thread(self._check))
        done, _ = await asyncio.wait({running}, timeout=self._timeout_s)
        if not done:
            return "does not answer"
        if self._running is running:
            self._running = None
        error = None if running.cancelled() else running.exception()
        if isinstance(error, PlatformError):
            _log.debug("not_ready", error=type(error).__name__, reason=str(error))
        elif isinstance(error, Exception):
            _log.warning("not_ready", **safe_error_fields(error))
        return "ok" if error is None and not running.cancelled() else _failure(error)


def _failure(error: BaseException | None) -> str:
    """The failure in a word; the reason, which may name addresses, is logged."""
    match error:
        case Unavailable() | Busy():
            return "unavailable"
        case Permanent():
            return "misconfigured"
        case _:
            return "failed"
