"""Search: finds the passages that answer a question, each with its source, its times and its age.

Dense retrieval over the hot index and the log's tail, so that a passage is found as soon as it is derived. A question
about one subject touches that subject's bucket only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache, partial
from typing import Annotated, Any, Final, Literal, assert_never

from pydantic import AwareDatetime, BeforeValidator, Field

from mmplatform.artifacts import Vector
from mmplatform.derive.passages import space_name
from mmplatform.errors import Unavailable
from mmplatform.events import Identifier, Modality, Record, utc_now
from mmplatform.identity import DEFAULT_TENANT, subject_key
from mmplatform.kafka.position_token import MAX_TOKEN_CHARS
from mmplatform.locators import CallLocator, ChatLocator, ImageLocator, Locator
from mmplatform.modalities import MODALITIES
from mmplatform.ports import Embedder
from mmplatform.retrieve.receipt.receipt import Receipt, ReceiptBook
from mmplatform.retrieve.search.overlay import FoundPassage, Overlay, Query
from mmplatform.retrieve.tail.tail import Scope, TailState

MAX_CACHED_QUESTIONS: Final = 1024
"""Questions whose vectors are cached."""


Token = Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_CHARS)]


def _as_list(value: Any) -> Any:
    """One token may come without a list."""
    return (value,) if isinstance(value, str) else value


class SearchQuery(Record):
    """Query of a copilot."""

    query: str = Field(min_length=1, max_length=2_000)
    subject_id: Identifier | None = Field(default=None, description="only passages about this person")
    modalities: tuple[Modality, ...] = Field(default=(), max_length=len(MODALITIES), description="empty: all")
    since: AwareDatetime | None = Field(default=None, description="event time from here on")
    until: AwareDatetime | None = Field(default=None, description="event time before this")
    k: int = Field(default=10, ge=1, le=100)
    after: Annotated[tuple[Token, ...], BeforeValidator(_as_list)] = Field(
        default=(), max_length=20, description="tokens of acknowledgements: wait until their events are in reach"
    )
    min_fresh: AwareDatetime | None = Field(
        default=None, description="wait until what the broker appended up to this time is in reach"
    )
    max_wait_ms: int = Field(default=2_000, ge=0, le=30_000, description="longest wait for after and min_fresh")


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
    indexed_at: datetime | None = Field(
        description="when the index had acknowledged it, half a second early at most; null: it has not yet"
    )
    found_in: Literal["index", "tail"] = Field(description="tail: derived, and not indexed yet")
    retrievable_at: datetime = Field(description="since when this gateway could find it; else indexed_at")
    seconds: float = Field(description="compute that it has cost, from its event to its vector")
    memo_hit: bool = Field(description="its vector was known, so that no model ran for it")
    gap_s: float = Field(description="retrievable_at - event_time")
    age_s: float = Field(description="now - event_time")
    language: str = Field(default="", description="code of its language; empty where none was detected")
    redaction_coverage: str = Field(
        default="",
        description="how much of the redaction knows its language: full, partial, language_independent or unknown",
    )


class Coverage(Record):
    """Parts of the platform that an answer covers.

    With ``searched`` and ``current`` it has everything that was derived a second before it began.
    """

    index: Literal["searched", "unavailable"] = Field(
        description="the hot index; unavailable: hits are fresh ones only"
    )
    tail: TailState = Field(
        description="what is derived and not indexed yet; current: all of it was searched. catching_up, full and "
        "unavailable: some may be missing, and without the index some may be outdated. off: only the index was searched"
    )


class FenceReport(Record):
    """End of the wait for what the question named."""

    reached: bool = Field(description="false: the wait was over before, or the index did not answer")
    waited_ms: float


class SearchAnswer(Record):
    """Hits, best first."""

    hits: tuple[CitedPassage, ...]
    searched_at: datetime
    took_ms: float
    coverage: Coverage
    receipt: Receipt | None = Field(default=None, description="what it may be missing; null: the tail is off")
    fence: FenceReport | None = Field(default=None, description="null: the question named nothing to wait for")


class Searcher:
    """Answers each question with the serving embedder, from that embedder's own collections and the log's tail.

    Thread-safe when overlay and embedder are.

    Args:
        overlay: the index under its tail.
        serving_embedder: the embedder whose collections are searched now. Raises Unavailable, Misconfigured.
        tenant: the tenant of every answer.
        tail_state: state of the tail at each answer; while it is ``off``, nothing is answered without the index.
        loaded_embedder: the last embedder that was loaded, for answers while the index does not say which one serves.
        receipts: writes the receipt of each answer; None while the log is not followed.
    """

    def __init__(
        self,
        overlay: Overlay,
        serving_embedder: Callable[[], Embedder],
        *,
        tenant: str = DEFAULT_TENANT,
        tail_state: Callable[[], TailState] = lambda: TailState.OFF,
        loaded_embedder: Callable[[], Embedder | None] = lambda: None,
        receipts: ReceiptBook | None = None,
    ) -> None:
        self._overlay = overlay
        self._tenant = tenant
        self._serving_embedder = serving_embedder
        self._tail_state = tail_state
        self._loaded_embedder = loaded_embedder
        self._receipts = receipts
        self._cached: tuple[Embedder, Callable[[str], Vector]] | None = None

    def search(self, query: SearchQuery, fence: FenceReport | None = None) -> SearchAnswer:
        """Embed the question, and search the index and what is on the log behind it.

        Args:
            query: the question.
            fence: the wait that came before, for the answer.

        Raises:
            Unavailable: the index does not answer, and there is no tail.
            Misconfigured: the model of the serving embedder is not on this machine.
        """
        started = time.perf_counter()
        # Before the search: the answer may have more than it says, never less.
        tail = self._tail_state()
        # Read once: vector and collections must be of one embedder, even when another serves a moment later.
        embedder = self._embedder(index_optional=tail is not TailState.OFF)
        question = Query(self._cached_embed(embedder)(query.query), space_name(embedder), embedder.embed, query.k)
        subject = subject_key(self._tenant, query.subject_id) if query.subject_id is not None else None
        receipt = self._receipts.receipt(subject, query.modalities) if self._receipts is not None else None
        scope = Scope(self._tenant, subject, query.modalities, query.since, query.until)
        findings = self._overlay.search(
            question,
            scope,
            tail_is_current=tail is TailState.CURRENT,
            index_optional=tail is not TailState.OFF,
        )
        if not findings.index_answered:
            receipt = receipt.without_claims() if receipt is not None else None
            fence = fence.model_copy(update={"reached": False}) if fence is not None else None
        now = utc_now()
        return SearchAnswer(
            hits=tuple(_cite(found, now) for found in findings.found),
            searched_at=now,
            took_ms=round((time.perf_counter() - started) * 1000, 2),
            coverage=Coverage(index="searched" if findings.index_answered else "unavailable", tail=tail),
            receipt=receipt,
            fence=fence,
        )

    def _embedder(self, *, index_optional: bool) -> Embedder:
        """The serving embedder; the last one while the index does not say which serves."""
        try:
            return self._serving_embedder()
        except Unavailable:
            fallback = self._loaded_embedder() if index_optional else None
            if fallback is None:
                raise
            return fallback

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


def _cite(found: FoundPassage, now: datetime) -> CitedPassage:
    hit = found.hit
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
        indexed_at=None if found.in_tail else hit.indexed_at,
        found_in="tail" if found.in_tail else "index",
        retrievable_at=found.retrievable_at,
        seconds=round(hit.seconds, 6),
        memo_hit=hit.memo_hit,
        gap_s=round((found.retrievable_at - hit.event_time).total_seconds(), 3),
        age_s=round((now - hit.event_time).total_seconds(), 3),
        language=hit.language,
        redaction_coverage=hit.redaction_coverage,
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
