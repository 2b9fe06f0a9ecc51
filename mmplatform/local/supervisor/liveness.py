"""Liveness probe: detects a process that runs but hangs, for example in a call that never returns.

A worker's ``/livez`` is answered by its own thread and fails when the worker's loop has made no progress for too long.
A library that hangs with Python's global lock keeps that thread from answering, so lasting silence counts as well: on
an overloaded machine one answer may take seconds. Of a foreign server only silence counts.

Checks are counted, not seconds alone: after a container was paused or a laptop slept for an hour, every loop has been
silent for an hour, and all go on at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import httpx

from mmplatform.local.services.probes import PROBE_TIMEOUT_S

CHECK_INTERVAL_S: Final = 5.0
MAX_HUNG_CHECKS: Final = 3
"""Consecutive checks at which the process reports that it hangs."""

MAX_SILENT_CHECKS: Final = 20
"""Consecutive checks without an answer; :data:`MAX_SILENCE_S` must have passed as well."""

MAX_SILENCE_S: Final = 120.0
_MAX_REASON_CHARS: Final = 200


class LivenessProbe:
    """Checks one process every :data:`CHECK_INTERVAL_S`; a new process needs a new probe."""

    def __init__(self, url: str, *, reports_hangs: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        """``url`` is its ``/livez``, or a heartbeat, which does not report hangs; without a URL it counts as live."""
        self._url = url
        self._reports_hangs = reports_hangs
        self._clock = clock
        self._answered_at = self._checked_at = clock()
        self._hung = self._silent = 0

    async def hang_reason(self, client: httpx.AsyncClient) -> str:
        """Return why the process must be killed; empty when it lives, or when the next check is not due."""
        if not self._url or self._clock() - self._checked_at < CHECK_INTERVAL_S:
            return ""
        self._checked_at = self._clock()
        try:
            answer = await client.get(self._url, timeout=PROBE_TIMEOUT_S)
        except httpx.HTTPError:
            self._silent += 1
            silent_s = self._clock() - self._answered_at
            lasts = self._silent >= MAX_SILENT_CHECKS and silent_s > MAX_SILENCE_S
            return f"its page has not answered for {silent_s:.0f} s" if lasts else ""
        self._answered_at, self._silent = self._clock(), 0
        hung = self._reports_hangs and answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        self._hung = self._hung + 1 if hung else 0
        return answer.text[:_MAX_REASON_CHARS] if self._hung >= MAX_HUNG_CHECKS else ""
