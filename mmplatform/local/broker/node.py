"""The broker without its socket: the state that the handlers use, opened from one data directory."""

from __future__ import annotations

import asyncio
import base64
import uuid

from mmplatform.local.broker.groups.coordinator import Coordinator
from mmplatform.local.broker.groups.offsets import Offsets
from mmplatform.local.broker.log.catalog import TopicCatalog
from mmplatform.local.broker.log.cleaner import Cleaner
from mmplatform.local.broker.log.flusher import Flusher
from mmplatform.local.broker.options import BrokerOptions
from mmplatform.local.broker.producer_ids import ProducerIds
from mmplatform.local.broker.store import Store

NODE_ID = 1


class Node:
    """One open data directory. `port` is set once the socket listens."""

    def __init__(self, options: BrokerOptions) -> None:
        self.options = options
        self.port = options.port
        self.store = Store(options.data / "broker.sqlite")
        self.cluster_id = self.store.fact("cluster_id", base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22])
        self.flusher = Flusher()
        self.catalog = TopicCatalog(options.data, self.store, self.flusher)
        self.offsets = Offsets(self.store)
        self.coordinator = Coordinator(self.store, self.offsets, options.initial_rebalance_delay_s)
        self.producer_ids = ProducerIds(self.store)
        self._cleaner = Cleaner(self.catalog, self.store, options.cleanup_interval_s)
        self._cleaning: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Read the store, recover the logs, and begin to take writes; call on the running loop."""
        self.catalog.open()
        self.offsets.open()
        self.coordinator.load()
        self._cleaner.load()
        loop = asyncio.get_running_loop()
        self.store.start(loop)
        self.coordinator.start()
        self._cleaning = loop.create_task(self._cleaner.run())

    async def close(self) -> None:
        """Flush and checkpoint everything; the next start then has nothing to recover."""
        if self._cleaning is not None:
            self._cleaning.cancel()
            await asyncio.gather(self._cleaning, return_exceptions=True)
        await self.catalog.close()
        self.flusher.close()
        self.store.close()
