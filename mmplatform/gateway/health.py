"""Whether something answers: a blocking question, asked in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from mmplatform.errors import PlatformError
from mmplatform.telemetry.logs import without_words

_log = structlog.get_logger(__name__)


class Look:
    """One question, asked again and again, and waited for only so long.

    Never twice at once: a thread cannot be stopped, and questions that hang would soon hold all the threads that take
    events. Not thread-safe: for one event loop.
    """

    def __init__(self, ask: Callable[[], object], *, within_s: float) -> None:
        self._ask = ask
        self._within_s = within_s
        self._asked: asyncio.Task[object] | None = None

    async def verdict(self) -> str:
        """``ok``, or what is wrong, in a word that names no address: it is told to whoever asks."""
        asked = self._asked = self._asked or asyncio.create_task(asyncio.to_thread(self._ask))
        done, _ = await asyncio.wait({asked}, timeout=self._within_s)
        if not done:
            return "does not answer"
        if self._asked is asked:
            self._asked = None
        error = None if asked.cancelled() else asked.exception()
        if isinstance(error, PlatformError):
            _log.debug("not_ready", error=type(error).__name__, reason=str(error))
        elif isinstance(error, Exception):
            _log.warning("not_ready", **without_words(error))
        return type(error).__name__.lower() if error is not None else "ok"
