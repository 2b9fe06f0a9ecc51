"""A fenced search without a broker: what it refuses, and what its answer says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from mmplatform.errors import Rejected, Unavailable
from mmplatform.events import Position
from mmplatform.kafka.position_token import PositionTokens
from mmplatform.modalities import CHAT
from mmplatform.progress import EventSource
from mmplatform.retrieve.receipt.derivation_progress import Derived
from mmplatform.retrieve.receipt.fence import Fence
from mmplatform.retrieve.receipt.pending_events import PendingEvents
from mmplatform.retrieve.search.fenced_search import FencedSearch
from mmplatform.retrieve.search.search import FenceReport, Searcher, SearchQuery
from mmplatform.retrieve.tail.tail import TailState
from mmplatform.web.validation import InvalidRequest
from tests.retrieve.tail.model import World

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKENS = PositionTokens(b"a key", "default")
SOURCE = EventSource(CHAT.topic, 0)


class Searches:
    """A fenced search over a world; ``derived`` is how far the deriver is."""

    def __init__(self):
        self.world, self.derived, self.asked = World(), {}, 0
        tail_state = {"tail_state": lambda: TailState.CURRENT, "loaded_embedder": lambda: self.world.embedder}
        searcher = Searcher(self.world.overlay, lambda: self.world.embedder, **tail_state)
        search = searcher.search

        def counted(query, fence=None):
            self.asked += 1
            return search(query, fence)

        searcher.search = counted
        self.searcher = searcher
        fence = Fence(lambda: self.derived, PendingEvents())
        self.fenced = FencedSearch(searcher, fence=fence, tokens=TOKENS, clock=lambda: NOW)

    def search(self, disconnected=None, **fields):
        return self.fenced.search(SearchQuery(query="x", **fields), disconnected)


@pytest.fixture
def searches():
    return Searches()


def token(offset):
    return TOKENS.sign(Position(topic=SOURCE.topic, topic_partition=0, offset=offset))


def derive(searches, next_offset):
    searches.derived = {SOURCE: Derived((0, next_offset), None, (), 0)}


async def test_a_question_that_names_nothing_has_no_fence(searches):
    assert (await searches.search()).fence is None


async def test_what_is_in_reach_is_reported_as_reached(searches):
    derive(searches, 4)
    assert (await searches.search(after=token(3))).fence == FenceReport(reached=True, waited_ms=0.0)


async def test_without_the_index_nothing_is_reached(searches):
    derive(searches, 4)
    searches.world.index.down = True
    answer = await searches.search(after=token(3))
    assert not answer.fence.reached
    assert answer.coverage.index == "unavailable"


async def test_a_client_that_disconnects_costs_no_search(searches):
    disconnected = asyncio.Event()
    task = asyncio.create_task(searches.search(disconnected.wait, after=token(3), max_wait_ms=20_000))
    await asyncio.sleep(0)
    disconnected.set()
    with pytest.raises(Rejected, match="disconnected"):
        await task
    assert searches.asked == 0


async def test_a_time_that_comes_within_the_wait_may_be_named_and_a_later_one_not(searches):
    soon = NOW + timedelta(milliseconds=40)
    assert not (await searches.search(min_fresh=soon, max_wait_ms=50)).fence.reached
    with pytest.raises(InvalidRequest, match="further in the future than max_wait_ms"):
        await searches.search(min_fresh=NOW + timedelta(seconds=3), max_wait_ms=50)


async def test_a_foreign_token_is_refused_with_its_number(searches):
    with pytest.raises(InvalidRequest, match=r"after\.1 is no token of this platform"):
        await searches.search(after=[token(1), "nonsense"])


async def test_a_gateway_without_a_tail_says_that_it_cannot_wait(searches):
    with pytest.raises(InvalidRequest, match="after needs the tail"):
        await FencedSearch(searches.searcher).search(SearchQuery(query="x", after=token(1)))


async def test_an_index_that_is_away_is_unavailable_as_without_a_fence(searches):
    searches.world.index.down = True
    plain = FencedSearch(Searcher(searches.world.overlay, lambda: searches.world.embedder))
    with pytest.raises(Unavailable):
        await plain.search(SearchQuery(query="x"))
