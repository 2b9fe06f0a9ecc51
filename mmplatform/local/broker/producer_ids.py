"""Ids for idempotent producers: never allocated twice, even after a kill, because blocks are reserved on disk."""

from __future__ import annotations

import asyncio

from mmplatform.local.broker.store import Store

_BLOCK = 1000
_FACT = "next_producer_id"


class ProducerIds:
    """Allocates producer ids from a reserved block."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = int(store.fact(_FACT, "0"))
        self._reserved = self._next
        self._lock = asyncio.Lock()

    async def allocate(self) -> int:
        """Return a producer id that was never used; raises StorageFailedError."""
        async with self._lock:
            if self._next >= self._reserved:
                reserved = self._next + _BLOCK
                await self._store.write([("update facts set value = ? where name = ?", (str(reserved), _FACT))])
                self._reserved = reserved
            self._next += 1
            return self._next - 1
