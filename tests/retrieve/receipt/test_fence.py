"""The fence waits for what reaches it, and for nothing else."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from mmplatform.errors import Busy
from mmplatform.events import Position
from mmplatform.progress import EventSource
from mmplatform.retrieve.receipt import fence as module
from mmplatform.retrieve.receipt.derivation_progress import Derived
from mmplatform.retrieve.receipt.fence import Bound, Fence
from mmplatform.retrieve.receipt.pending_events import LoggedEvent, PendingEvents

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHAT = EventSource("interactions.chat", 0)
SOON_S = 10.0


def at(seconds):
    return NOON + timedelta(seconds=seconds)


class World:
    """A fence over one source."""

    def __init__(self):
        self.derived = {}
        self.pending = PendingEvents()
        self.pending.begin(CHAT, (0, 0))
        self.fence = Fence(lambda: self.derived, self.pending)

    def derive(self, next_offset, until=None):
        self.derived = {CHAT: Derived((0, next_offset), None if until is None else at(until), (), 0)}
        self.fence.wake()


def after(offset):
    position = Position(topic=CHAT.topic, topic_partition=0, offset=offset)
    return Bound([position], None, None, [CHAT.topic])


def fresh(seconds, subject=None):
    return Bound([], at(seconds), subject, [CHAT.topic])


async def test_what_is_in_reach_is_answered_at_once():
    world = World()
    world.derive(3)
    assert await world.fence.wait(after(2), 0.0) == (True, 0.0, False)


async def test_a_wait_ends_when_another_thread_brings_the_event():
    world = World()
    task = asyncio.create_task(world.fence.wait(after(2), SOON_S))
    await asyncio.sleep(0)
    assert world.fence.waits == 1
    await asyncio.to_thread(world.derive, 2)
    assert not task.done()
    thread = threading.Thread(target=world.derive, args=(3,))
    thread.start()
    assert (await task).reached
    thread.join()
    assert world.fence.waits == 0


async def test_at_the_limit_it_says_that_it_was_not_reached():
    passed = await World().fence.wait(after(0), 0.01)
    assert not passed.reached
    assert passed.waited_s >= 0.01


async def test_a_client_that_goes_away_gives_its_place_back():
    world = World()
    disconnected = asyncio.Event()
    task = asyncio.create_task(world.fence.wait(after(0), SOON_S, disconnected.wait))
    await asyncio.sleep(0)
    disconnected.set()
    passed = await asyncio.wait_for(task, SOON_S / 2)
    assert (passed.reached, passed.is_disconnected) == (False, True)
    assert world.fence.waits == 0


async def test_a_wait_that_is_cancelled_gives_its_place_back():
    world = World()
    task = asyncio.create_task(world.fence.wait(after(0), SOON_S))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.fence.waits == 0


async def test_the_waits_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITS", 2)
    world = World()
    tasks = [asyncio.create_task(world.fence.wait(after(0), SOON_S)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="2 searches wait"):
        await world.fence.wait(after(0), SOON_S)
    world.derive(1)
    assert all(passed.reached for passed in await asyncio.gather(*tasks))


async def test_a_time_is_in_reach_when_everything_appended_up_to_it_is():
    world = World()
    world.derive(3, 10)
    assert world.fence.is_reached(fresh(9))
    assert not world.fence.is_reached(fresh(10))  # another event of that millisecond may follow
    assert not world.fence.is_reached(fresh(11))


async def test_of_a_subject_only_its_own_events_are_waited_for():
    world = World()
    world.pending.add(CHAT, LoggedEvent((0, 0), "ann", at(1)))
    world.pending.add(CHAT, LoggedEvent((0, 1), "bob", at(5)))
    assert world.fence.is_reached(fresh(4, "bob"))
    assert not world.fence.is_reached(fresh(4, "ann"))
    assert not world.fence.is_reached(fresh(4))


async def test_without_a_source_nothing_is_in_reach():
    world = World()
    assert not world.fence.is_reached(Bound([], NOON, "ann", ["interactions.screenshot"]))
    assert not world.fence.is_reached(after(0))
