"""How many bytes of request bodies the gateway holds at once, over all requests: its memory does not grow with them.

Bytes are counted as they come and until what is made of them is written, also when the caller has gone by then. Over
the budget a source is slowed as it is while the derivers are behind: 429 with Retry-After. One request is always taken,
however small the budget, so that every body within its own limit gets through.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from mmplatform.errors import Busy

_WAIT_S: Final = 1.0


class Budget:
    """For one event loop. ``held`` is how many bytes are held now."""

    def __init__(self, most: int) -> None:
        self.held = 0
        self._most = most

    def hold(self) -> Held:
        """What one request will hold; nothing yet."""
        return Held(self)

    def check(self, mine: int, more: int) -> None:
        """Return when there is room for ``more`` bytes beside those that are ``mine``. Raises Busy."""
        others = self.held - mine
        if others > 0 and self.held + more > self._most:
            raise Busy(f"{others} bytes of other requests are being written", retry_after=_WAIT_S)


class Held:
    """The bytes of one request. They count while anybody uses them: the request, or the write that outlives it."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0
        self._users = 0

    def expect(self, size: int) -> None:
        """Return when so many bytes would find room, before they are read. Raises Busy."""
        self._budget.check(self._size, size)

    def grow(self, size: int) -> None:
        """Take in more bytes. Raises Busy."""
        self._budget.check(self._size, size)
        self._size += size
        self._budget.held += size

    def __enter__(self) -> Self:
        self._users += 1
        if self._users == 1:
            self._budget.held += self._size
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._users -= 1
        if self._users == 0:
            self._budget.held -= self._size
