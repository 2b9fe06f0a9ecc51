"""A broker without its socket, for tests of what is kept and what is answered when the disk refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from mmplatform.local.broker.api.call import Call
from mmplatform.local.broker.log.batch import check
from mmplatform.local.broker.log.partition import PartitionLog
from mmplatform.local.broker.node import Node
from mmplatform.local.broker.options import BrokerOptions

CALL = Call("test", "127.0.0.1", 0)


@asynccontextmanager
async def running(data: Path, *, cleanup_interval_s: float = 3600.0) -> AsyncIterator[Node]:
    """A node on the directory `data`, which is there."""
    node = Node(BrokerOptions(data=data, cleanup_interval_s=cleanup_interval_s))
    node.open()
    yield node
    await node.close()


@contextmanager
def refusing_store(node: Node) -> Iterator[None]:
    """For as long as this lasts, SQLite refuses every write, because another connection holds its lock."""
    node.store._database.execute("pragma busy_timeout=0")
    other = sqlite3.connect(node.options.data / "broker.sqlite", isolation_level=None)
    other.execute("begin immediate")
    yield
    other.execute("rollback")
    other.close()


async def put(node: Node, log: PartitionLog, data: bytes) -> int:
    """Append a batch and wait until it is on disk; its first offset."""
    placed = log.append(data, check(data))
    node.flusher.request(log)
    await log.durable(placed.next_offset)
    return placed.base_offset
