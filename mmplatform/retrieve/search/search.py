"""Search: finds the passages that answer a question, each with its source, its times and its age.

Dense retrieval over the hot index. A question about one subject touches that subject's bucket only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Final, Protocol, assert_never

from pydantic import AwareDatetime, Field

from mmplatform.artifacts import Vector
from mmplatform.derive.passages import space_name
from mmplatform.events import Identifier, Modality, Record, utc_now
from mmplatform.identity import DEFAULT_TENANT, subject_key
from mmplatform.land.index.row_codec import Hit
from mmplatform.locators import CallLocator, ChatLocator, ImageLocator, Locator
from mmplatform.modalities import MODALITIES
from mmplatform.ports import Embedder

MAX_CACHED_QUESTIONS: Final = 1024
"""Questions whose vectors are cached."""


class SearchQuery(Record):
    """Query of a copilot."""

    query: str = Field(min_length=1, max_length=2_000)
    subject_id: Identifier | None = Field(default=None, description="only passages about this person")
    modalities: tuple[Modality, ...] = Field(default=(), max_length=len(MODALITIES), description="empty: all")
    since: AwareDatetime | None = Field(default=None, description="event time from here on")
    until: AwareDatetime | None = Field(default=None, description="event time before this")
    k: int = Field(default=10, ge=1, le=100)


class CitedPassage(Record):
    """A passage that was found, with its source."""

    passage_id: str
    text: str
    score: float = Field(description="cosine similarity, 1 is the same direction")
    modality: Modality
    tenant: str
    event_source: str = Field(description="the system that sent its event")
    subject_id: str
    conversation_id: str
    source: str = Field(description="the source in words: call second, image box, chat message")
    locator: Locator
    event_ids: tuple[str, ...]
    source_artifact_id: str
    event_time: datetime
    ingested_at: datetime = Field(description="when the gateway accepted it")
    derived_at: datetime = Field(description="when the models had derived it")
    logged_at: datetime = Field(description="when it was on the replay log")
    indexed_at: datetime = Field(description="when the index had acknowledged it, half a second early at most")
    seconds: float = Field(description="compute that it has cost, from its event to its vector")
    memo_hit: bool = Field(description="its vector was known, so that no model ran for it")
    gap_s: float = Field(description="indexed_at - event_time")
    age_s: float = Field(description="now - event_time")


class SearchAnswer(Record):
    """Hits, best first."""

    hits: tuple[CitedPassage, ...]
    searched_at: datetime
    took_ms: float


class SearchableIndex(Protocol):
    """Queries of search to the hot index."""

    def search(
        self,
        vector: Vector,
        *,
        embedder: str,
        subject: str | None = None,
        tenant: str | None = None,
        modalities: Sequence[Modality] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        k: int = 10,
    ) -> list[Hit]:
        """The nearest passages, best first. Raises Unavailable."""


class Searcher:
    """Answers each question with the serving embedder, from that embedder's own collections.

    Thread-safe when index and embedder are.
    """

    def __init__(
        self, index: SearchableIndex, serving_embedder: Callable[[], Embedder], *, tenant: str = DEFAULT_TENANT
    ) -> None:
        self._index = index
        self._tenant = tenant
        self._serving_embedder = serving_embedder
        self._cached: tuple[Embedder, Callable[[str], Vector]] | None = None

    def search(self, query: SearchQuery) -> SearchAnswer:
        """Embed the question and search the index.

        Raises:
            Unavailable: the index does not answer.
            Misconfigured: the model of the serving embedder is not on this machine.
        """
        started = time.perf_counter()
        # Read once: vector and collections must be of one embedder, even when another serves a moment later.
        embedder = self._serving_embedder()
        search = partial(
            self._index.search,
            self._cached_embed(embedder)(query.query),
            subject=subject_key(self._tenant, query.subject_id) if query.subject_id is not None else None,
            modalities=query.modalities,
            since=query.since,
            until=query.until,
            k=query.k,
            embedder=space_name(embedder),
        )
        hits = search()
        if any(hit.tenant != self._tenant for hit in hits):
            # Only then: a filter makes Chroma read the metadata of every row, and an index with one tenant needs none.
            hits = search(tenant=self._tenant)
        now = utc_now()
        return SearchAnswer(
            hits=tuple(_cite(hit, now) for hit in hits),
            searched_at=now,
            took_ms=round((time.perf_counter() - started) * 1000, 2),
        )

    def _cached_embed(self, embedder: Embedder) -> Callable[[str], Vector]:
        """Cached embedding function: a copilot repeats the same question while it waits for news."""
        cached = self._cached
        if cached is None or cached[0] is not embedder:
            cached = (embedder, lru_cache(maxsize=MAX_CACHED_QUESTIONS)(partial(_embed, embedder)))
            self._cached = cached
        return cached[1]


def _embed(embedder: Embedder, text: str) -> Vector:
    vector: Vector = embedder.embed([text])[0]
    return vector


def _cite(hit: Hit, now: datetime) -> CitedPassage:
    return CitedPassage(
        passage_id=hit.passage_id,
        text=hit.text,
        score=round(hit.score, 4),
        modality=hit.modality,
        tenant=hit.tenant,
        event_source=hit.source,
        subject_id=hit.subject_id,
        conversation_id=hit.conversation_id,
        source=format_locator(hit.locator),
        locator=hit.locator,
        event_ids=hit.event_ids,
        source_artifact_id=hit.source_artifact_id,
        event_time=hit.event_time,
        ingested_at=hit.ingested_at,
        derived_at=hit.derived_at,
        logged_at=hit.logged_at,
        indexed_at=hit.indexed_at,
        seconds=round(hit.seconds, 6),
        memo_hit=hit.memo_hit,
        gap_s=round((hit.indexed_at - hit.event_time).total_seconds(), 3),
        age_s=round((now - hit.event_time).total_seconds(), 3),
    )


def format_locator(locator: Locator) -> str:
    """Format a locator in words, as a copilot cites it."""
    if isinstance(locator, ChatLocator):
        return f"chat message {locator.event_id} ({locator.role})"
    if isinstance(locator, CallLocator):
        return f"call {locator.call_id} {_clock(locator.start_s)}-{_clock(locator.end_s)} ({locator.speaker})"
    if isinstance(locator, ImageLocator):
        box = locator.box
        return f"screenshot {locator.event_id} at ({box.x0:.0f},{box.y0:.0f})-({box.x1:.0f},{box.y1:.0f})"
    assert_never(locator)


def _clock(seconds: float) -> str:
    """Minutes and seconds; rounded before the division, so that 59.97 s are a minute and not 60 seconds."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    return f"{minutes:02d}:{tenths / 10:04.1f}"
