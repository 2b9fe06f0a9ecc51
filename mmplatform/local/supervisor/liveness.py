"""Does a process that was ready still live? It may be there and do nothing for ever: a call that never returns.

A worker's page ``/livez`` is answered by a thread of its own and tells when the worker's loop has taken up nothing for
too long. A library that hangs and holds Python's lock keeps that thread from answering as well, so silence counts too,
when it lasts: on a machine that is out of breath a page may take seconds. Of a foreign server only the silence counts.

Looks are counted, not seconds alone: where everything stood still for an hour (a container that was paused, a laptop
that slept) each loop has been silent for an hour, and all go on at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import httpx

from mmplatform.local.services.probes import PROBE_TIMEOUT_S

CHECK_INTERVAL_S: Final = 5.0
MAX_HUNG_CHECKS: Final = 3
"""So many looks in a row at which it says that it hangs."""

MAX_SILENT_CHECKS: Final = 20
"""So many looks in a row without an answer, and :data:`SILENCE_S` since the last one."""

MAX_SILENCE_S: Final = 120.0
_MAX_REASON_CHARS: Final = 200


class LivenessProbe:
    """Looks at one process now and then; a new process needs a new one."""

    def __init__(self, url: str, *, reports_hangs: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        """``page`` is the URL of its ``/livez``, or of a heartbeat, which does not say so when it hangs.

        Without a page it always lives.
        """
        self._url = url
        self._reports_hangs = reports_hangs
        self._clock = clock
        self._answered_at = self._checked_at = clock()
        self._hung = self._silent = 0

    async def hang_reason(self, client: httpx.AsyncClient) -> str:
        """Why it is to be killed; empty when it lives, or when it is not time to look again."""
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
