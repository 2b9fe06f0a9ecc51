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

LOOK_EVERY_S: Final = 5.0
HANGS_LOOKS: Final = 3
"""So many looks in a row at which it says that it hangs."""

SILENT_LOOKS: Final = 20
"""So many looks in a row without an answer, and :data:`SILENCE_S` since the last one."""

SILENCE_S: Final = 120.0
_MOST_WORDS: Final = 200


class Liveness:
    """Looks at one process now and then; a new process needs a new one."""

    def __init__(self, page: str, *, says_so: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        """``page`` is the URL of its ``/livez``, or of a heartbeat, which does not say so when it hangs.

        Without a page it always lives.
        """
        self._page = page
        self._says_so = says_so
        self._clock = clock
        self._heard = self._looked = clock()
        self._hung = self._silent = 0

    async def hangs(self, client: httpx.AsyncClient) -> str:
        """Why it is to be killed; empty when it lives, or when it is not time to look again."""
        if not self._page or self._clock() - self._looked < LOOK_EVERY_S:
            return ""
        self._looked = self._clock()
        try:
            answer = await client.get(self._page, timeout=PROBE_TIMEOUT_S)
        except httpx.HTTPError:
            self._silent += 1
            silent_s = self._clock() - self._heard
            lasts = self._silent >= SILENT_LOOKS and silent_s > SILENCE_S
            return f"its page has not answered for {silent_s:.0f} s" if lasts else ""
        self._heard, self._silent = self._clock(), 0
        hangs = self._says_so and answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        self._hung = self._hung + 1 if hangs else 0
        return answer.text[:_MOST_WORDS] if self._hung >= HANGS_LOOKS else ""
