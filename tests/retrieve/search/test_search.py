"""Search over the index's double: what is found, how it is cited, and what a filter leaves out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.locators import Box, CallLocator, ChatLocator, ImageLocator
from mmplatform.retrieve.search.search import Searcher, SearchQuery, format_locator
from tests.builders import blob
from tests.doubles.embedder import SeededEmbedder
from tests.doubles.memory_index import MemoryIndex
from tests.land.records import NOON, passage
from tests.retrieve.tail.model import overlay_of

LATER = NOON + timedelta(seconds=3)


@pytest.fixture
def index():
    return MemoryIndex()


@pytest.fixture
def embedder():
    return SeededEmbedder()


@pytest.fixture
def search(index, embedder):
    searcher = Searcher(overlay_of(index), lambda: embedder)
    return lambda query, **filters: searcher.search(SearchQuery(query=query, **filters))


def numbers(answer):
    return sorted(int(hit.text.split()[-1]) for hit in answer.hits)


def test_a_hit_cites_its_source_its_times_its_gap_and_its_age(index, search):
    landed = passage(1, text="the payment failed")
    index.upsert([landed], LATER)
    before = utc_now()
    answer = search("the payment failed")
    (hit,) = answer.hits
    assert (hit.passage_id, hit.text, hit.score) == (landed.artifact_id, "the payment failed", 1.0)
    assert (hit.modality, hit.subject_id, hit.conversation_id) == ("chat", "ann", "conversation-ann")
    assert (hit.source, hit.locator) == ("chat message event-1 (customer)", landed.locator)
    assert (hit.tenant, hit.event_source) == (landed.tenant, landed.source)
    assert (hit.event_ids, hit.source_artifact_id) == (("event-1",), landed.source_artifact_id)
    assert (hit.event_time, hit.indexed_at, hit.gap_s) == (NOON, LATER, 3.0)
    assert (hit.ingested_at, hit.derived_at) == (landed.stamps.ingested_at, landed.stamps.derived_at)
    assert (hit.logged_at, hit.memo_hit) == (landed.stamps.logged_at or landed.stamps.derived_at, False)
    assert hit.seconds == pytest.approx(landed.provenance.seconds + landed.source_seconds, abs=1e-6)
    assert before <= answer.searched_at <= utc_now()
    assert hit.age_s == pytest.approx((answer.searched_at - NOON).total_seconds(), abs=0.001)
    assert answer.took_ms >= 0


def test_the_best_come_first_and_no_more_than_asked(index, search):
    index.upsert([passage(n) for n in range(20)], LATER)
    hits = search("passage number 7", k=4).hits
    assert (len(hits), hits[0].text) == (4, "passage number 7")
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_subject_modality_and_time_filter_and_together_they_all_hold(index, search):
    index.upsert(
        [
            passage(1, modality="chat", at=NOON),
            passage(2, modality="call", at=NOON + timedelta(minutes=1)),
            passage(3, modality="screenshot", at=NOON + timedelta(minutes=2)),
            passage(4, modality="call", at=NOON + timedelta(minutes=1), subject="zoe"),
        ],
        LATER,
    )
    assert numbers(search("x")) == [1, 2, 3, 4]
    assert numbers(search("x", subject_id="ann")) == [1, 2, 3]
    assert numbers(search("x", modalities=["call", "screenshot"])) == [2, 3, 4]
    assert numbers(search("x", since=NOON + timedelta(minutes=1))) == [2, 3, 4], "since is the first that counts"
    assert numbers(search("x", until=NOON + timedelta(minutes=1))) == [1], "until is the first that does not"
    minute = timedelta(minutes=1)
    both = {"since": NOON + minute, "until": NOON + minute * 2, "modalities": ["call"]}
    assert numbers(search("x", subject_id="zoe", **both)) == [4]
    assert search("x", subject_id="nobody").hits == ()


def test_a_hit_says_when_its_passage_was_logged_and_what_it_has_cost(index, search):
    landed = passage(1)
    cost = landed.provenance.model_copy(update={"seconds": 0.25, "memo_hit": True})
    logged = landed.stamps.model_copy(update={"logged_at": NOON + timedelta(seconds=2)})
    changes = {"provenance": cost, "stamps": logged, "source_seconds": 1.5, "source": "crm"}
    index.upsert([landed.model_copy(update=changes)], LATER)
    (hit,) = search("x").hits
    assert (hit.logged_at, hit.seconds, hit.memo_hit) == (NOON + timedelta(seconds=2), 1.75, True)
    assert hit.event_source == "crm"


def test_a_subject_is_found_by_its_own_tenant_only(index, embedder):
    index.upsert([passage(1), passage(2).model_copy(update={"tenant": "acme"})], LATER)
    searchers = {
        tenant: Searcher(overlay_of(index), lambda: embedder, tenant=tenant) for tenant in ("default", "acme", "other")
    }
    query = SearchQuery(query="x", subject_id="ann")
    found = {tenant: numbers(searcher.search(query)) for tenant, searcher in searchers.items()}
    assert found == {"default": [1], "acme": [2], "other": []}


def test_a_question_that_is_asked_again_is_embedded_once(search, embedder):
    for question in ("why", "why", "when", "why"):
        search(question)
    assert embedder.asked == ["why", "when"]


def test_vectors_of_another_embedder_are_not_compared(index, search):
    index.upsert([passage(1, embedder="minilm@2"), passage(2)], LATER)
    assert numbers(search("x")) == [2]


def test_an_index_that_is_away_is_reported(index, search):
    index.down = True
    with pytest.raises(Unavailable):
        search("x")


def test_each_kind_of_source_is_said_in_words():
    image = ImageLocator(event_id="shot-1", blob=blob(), box=Box(x0=1.4, y0=2, x1=30.6, y1=40))
    assert format_locator(image) == "screenshot shot-1 at (1,2)-(31,40)"
    assert format_locator(ChatLocator(event_id="e", role="bot", start=0, end=4)) == "chat message e (bot)"
    call = CallLocator(call_id="c", channel=1, speaker="agent", start_s=1.5, end_s=64.0)
    assert format_locator(call) == "call c 00:01.5-01:04.0 (agent)"


@pytest.mark.parametrize(
    ("second", "clock"),
    [
        (0, "00:00.0"),
        (59.94, "00:59.9"),
        (59.97, "01:00.0"),
        (119.99, "02:00.0"),
        (3599.96, "60:00.0"),
        (4513.2, "75:13.2"),
    ],
)
def test_a_second_of_a_call_is_rounded_before_it_is_parted(second, clock):
    locator = CallLocator(call_id="c", channel=0, speaker="agent", start_s=second, end_s=second)
    assert format_locator(locator) == f"call c {clock}-{clock} (agent)"
