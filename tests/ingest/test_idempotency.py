from __future__ import annotations

import asyncio

import pytest

from mmplatform.errors import Conflict, Unavailable
from mmplatform.events import Position
from mmplatform.identity import event_uid
from mmplatform.ingest.idempotency import IdempotencyCache


def uid(name):
    """Identity of the event with this id."""
    return event_uid("default", "crm", "c1", name)


def position(offset):
    return Position(topic="t", topic_partition=0, offset=offset)


class Writes:
    """Writes that end with the event ``go``; ``started`` counts them."""

    def __init__(self):
        self.started = 0
        self.go = asyncio.Event()
        self.failure = None

    async def __call__(self):
        self.started += 1
        number = self.started
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return position(number)


async def test_the_cache_is_bounded_and_evicts_the_oldest():
    cache, writes = IdempotencyCache(capacity=3), Writes()
    writes.go.set()
    for name in "abcd":
        await cache.write_once(name, uid(name), b"1", writes)
    assert (await cache.write_once("d", uid("d"), b"1", writes))[1]
    assert not (await cache.write_once("a", uid("a"), b"1", writes))[1]


async def test_a_repeated_event_stays_cached_longer():
    cache, writes = IdempotencyCache(capacity=2), Writes()
    writes.go.set()
    for name in ("a", "b", "a", "c"):
        await cache.write_once(name, uid(name), b"1", writes)
    assert (await cache.write_once("a", uid("a"), b"1", writes))[1]
    assert not (await cache.write_once("b", uid("b"), b"1", writes))[1]


async def test_a_write_in_progress_is_never_evicted():
    cache, slow, quick = IdempotencyCache(capacity=1), Writes(), Writes()
    quick.go.set()
    first = asyncio.create_task(cache.write_once("slow", uid("slow"), b"1", slow))
    await asyncio.sleep(0)
    for name in "abc":
        await cache.write_once(name, uid(name), b"1", quick)
    second = asyncio.create_task(cache.write_once("slow", uid("slow"), b"1", slow))
    await asyncio.sleep(0)
    slow.go.set()
    assert (await first, await second) == ((position(1), False), (position(1), True))
    assert slow.started == 1


async def test_a_duplicate_of_a_write_in_progress_shares_its_failure_and_the_next_try_writes():
    cache, writes = IdempotencyCache(), Writes()
    writes.failure = Unavailable("away")
    tries = [asyncio.create_task(cache.write_once("a", uid("a"), b"1", writes)) for _ in range(3)]
    await asyncio.sleep(0)
    writes.go.set()
    failed = await asyncio.gather(*tries, return_exceptions=True)
    assert failed == [writes.failure] * 3
    writes.failure = None
    assert await cache.write_once("a", uid("a"), b"1", writes) == (position(2), False)


async def test_other_content_conflicts_even_while_the_first_write_is_in_progress():
    cache, writes = IdempotencyCache(), Writes()
    first = asyncio.create_task(cache.write_once("a", uid("a"), b"1", writes))
    await asyncio.sleep(0)
    with pytest.raises(Conflict, match="a"):
        await cache.write_once("a", uid("a"), b"2", writes)
    writes.go.set()
    await first
    assert writes.started == 1


async def test_draining_waits_for_writes_of_disconnected_callers():
    cache, writes = IdempotencyCache(), Writes()
    gone = asyncio.create_task(cache.write_once("a", uid("a"), b"1", writes))
    await asyncio.sleep(0)
    gone.cancel()
    draining = asyncio.create_task(cache.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    writes.go.set()
    await draining
    assert await cache.write_once("a", uid("a"), b"1", writes) == (position(1), True)


async def test_one_id_in_two_conversations_is_two_events():
    cache, writes = IdempotencyCache(), Writes()
    writes.go.set()
    here, elsewhere = (event_uid("default", "crm", conversation, "a") for conversation in ("c1", "c2"))
    assert await cache.write_once("a", here, b"1", writes) == (position(1), False)
    assert await cache.write_once("a", elsewhere, b"2", writes) == (position(2), False)
    assert await cache.write_once("a", here, b"1", writes) == (position(1), True)
