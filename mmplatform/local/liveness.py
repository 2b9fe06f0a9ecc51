"""Does a worker that was ready still live? Its process may be there and do nothing for ever: a call that never returns.

Its page ``/livez`` is answered by a thread of its own and tells when the worker's loop has taken up nothing for too
long. A library that hangs and holds Python's lock keeps that thread from answering as well, so silence counts too, when
it lasts: on a machine that is out of breath a page may take seconds, and whoever is stopped for a moment is no corpse.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import httpx

from mmplatform.local.probes import PROBE_TIMEOUT_S

LOOK_EVERY_S: Final = 5.0
SILENCE_S: Final = 120.0
_MOST_WORDS: Final = 200


class Liveness:
    """Looks at one process now and then; a new process needs a new one."""

    def __init__(self, page: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``page`` is the URL of its ``/livez``; without one it always lives."""
        self._page = page
        self._clock = clock
        self._heard = self._looked = clock()

    async def hangs(self, client: httpx.AsyncClient) -> str:
        """Why it is to be killed; empty when it lives, or when it is not time to look again."""
        if not self._page or self._clock() - self._looked < LOOK_EVERY_S:
            return ""
        self._looked = self._clock()
        try:
            answer = await client.get(self._page, timeout=PROBE_TIMEOUT_S)
        except httpx.HTTPError:
            silent_s = self._clock() - self._heard
            return f"its page has not answered for {silent_s:.0f} s" if silent_s > SILENCE_S else ""
        self._heard = self._clock()
        return answer.text[:_MOST_WORDS] if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else ""
