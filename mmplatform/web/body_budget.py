"""Budget of in-flight request body bytes over all requests: it bounds the gateway's memory.

Bytes count from their arrival until their event is written, also when the caller has disconnected by then. Over the
budget a source gets 429 with Retry-After, as under backpressure. A request that is alone is always accepted, however
small the budget, so that every body within its own limit gets through.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from mmplatform.errors import Busy

_RETRY_AFTER_S: Final = 1.0


class BodyBudget:
    """Budget of one event loop. ``reserved_bytes`` is the current total."""

    def __init__(self, max_bytes: int) -> None:
        self.reserved_bytes = 0
        self._max_bytes = max_bytes

    def reserve(self) -> BodyReservation:
        """Open an empty reservation for one request."""
        return BodyReservation(self)

    def check(self, own_bytes: int, extra_bytes: int) -> None:
        """Return when ``extra_bytes`` fit besides the request's ``own_bytes``. Raises Busy."""
        other_bytes = self.reserved_bytes - own_bytes
        if other_bytes > 0 and self.reserved_bytes + extra_bytes > self._max_bytes:
            raise Busy(f"{other_bytes} bytes of other requests are being written", retry_after=_RETRY_AFTER_S)


class BodyReservation:
    """Body bytes of one request. They count while they have a user: the request, or the write that outlives it."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._size = 0
        self._users = 0

    def check_fits(self, size: int) -> None:
        """Return when ``size`` bytes would fit, before they are read. Raises Busy."""
        self._budget.check(self._size, size)

    def add(self, size: int) -> None:
        """Reserve ``size`` more bytes. Raises Busy."""
        self._budget.check(self._size, size)
        self._size += size
        self._budget.reserved_bytes += size

    def __enter__(self) -> Self:
        self._users += 1
        if self._users == 1:
            self._budget.reserved_bytes += self._size
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._users -= 1
        if self._users == 0:
            self._budget.reserved_bytes -= self._size
