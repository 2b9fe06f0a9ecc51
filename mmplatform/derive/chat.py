"""Chat deriver: text → message → passages. Only redaction and embedding cost compute, both per micro-batch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import orjson

from mmplatform.artifacts import Message, Passage, Provenance, Stamps, artifact_id, count_pii_kinds
from mmplatform.derive.memo_batch import memoised_batch
from mmplatform.derive.passages import DerivedBatch, PassageDraft, make_passages
from mmplatform.derive.pii.replacement import Replacements, Span, merge_spans, overlaps_any
from mmplatform.events import Arrival, ChatMessage, utc_now
from mmplatform.locators import ChatLocator
from mmplatform.ports import DetectedLanguage, Embedder, Memo, Redacted, Redactor

MAX_PASSAGE_CHARS: Final = 700
"""About 200 tokens of English prose, which the embedder reads without truncation."""

REDACTION_BATCH: Final = 32
"""Messages redacted at once: while they are embedded in a thread, the next ones are redacted."""

_MAX_PASSAGE_TOKENS: Final = 200
"""Estimated tokens of a passage: stack traces, keys and other scripts have more tokens in 700 characters."""

_TOKENS: Final = re.compile(r"(?P<letters>[A-Za-z]+)|(?P<digits>[0-9]+)|[^\s]")
NO_SPANS: Final[Mapping[str, Sequence[Span]]] = {}
_SENTENCE: Final = re.compile(r"(?<=[.!?…])\s+|\n+")


class ChatDeriver:
    """Derives chat messages; deterministic, so that deriving twice lands once."""

    name = "chat"
    version = "3"

    def __init__(
        self, embedder: Embedder, redactor: Redactor, memo: Memo, replacements: Replacements | None = None
    ) -> None:
        self._embedder = embedder
        self._redactor = redactor
        self._memo = memo
        self._replacements = replacements or Replacements()

    def derive(
        self, arrivals: Sequence[Arrival[ChatMessage]], joint_spans: Mapping[str, Sequence[Span]] = NO_SPANS
    ) -> DerivedBatch:
        """Derive a message from each event, and a passage from each stretch of its redacted text.

        ``joint_spans``: personal data that only a reading with other messages finds, by identity of the event.
        The embedder runs outside of Python and takes twice the redactor's time, so it has a thread of its own.
        """
        latest = list({arrival.event.uid: arrival for arrival in arrivals}.values())
        if len(latest) <= REDACTION_BATCH:
            messages = self._messages(latest, joint_spans)
            return DerivedBatch((*messages, *self._passages(messages)))
        messages = []
        embedding: list[Future[list[Passage]]] = []
        with ThreadPoolExecutor(1, thread_name_prefix="embed") as embedder_thread:
            for start in range(0, len(latest), REDACTION_BATCH):
                if embedding and embedding[-1].done():
                    embedding[-1].result()  # raises an embedder's error before more is redacted
                batch = self._messages(latest[start : start + REDACTION_BATCH], joint_spans)
                embedding.append(embedder_thread.submit(self._passages, batch))
                messages += batch
        return DerivedBatch((*messages, *(passage for future in embedding for passage in future.result())))

    def read_together(self, texts: Sequence[str]) -> list[list[Span]]:
        """Find personal data in joined texts of several messages. The memo does not keep them: they hardly repeat."""
        return [redacted.entity_spans for redacted in self._redactor.redact(texts)]

    def _messages(
        self, arrivals: Sequence[Arrival[ChatMessage]], joint_spans: Mapping[str, Sequence[Span]]
    ) -> list[Message]:
        redacted, seconds = self._redact([arrival.event.text for arrival in arrivals])
        return [
            self._message(arrival, text, cost, joint_spans.get(arrival.event.uid, ()))
            for arrival, text, cost in zip(arrivals, redacted, seconds, strict=True)
        ]

    def _message(
        self, arrival: Arrival[ChatMessage], redacted: Redacted, seconds: float, joint: Sequence[Span]
    ) -> Message:
        event = arrival.event
        spans = merge_spans(redacted.entity_spans, joint) if joint else redacted.entity_spans
        parts = {start for start, end, _ in spans if overlaps_any(joint, start, end)}
        return Message(
            artifact_id=artifact_id("message", event.uid, 0),
            modality="chat",
            tenant=event.tenant,
            source=event.source,
            conversation_id=event.conversation_id,
            subject_id=event.subject_id,
            stamps=Stamps(event_time=event.event_time, ingested_at=event.ingested_at, derived_at=utc_now()),
            provenance=Provenance(
                event_ids=(event.event_id,),
                position=arrival.position,
                deriver=ChatDeriver.name,
                deriver_version=ChatDeriver.version,
                seconds=seconds,
                memo_hit=seconds == 0.0,
                redaction_policy=self._replacements.policy_version,
            ),
            role=event.role,
            text=self._replacements.replace(event.text, spans, event.conversation_key, parts=parts),
            pii=count_pii_kinds([entity for _, _, entity in spans]),
            language=redacted.language.code,
            language_confidence=redacted.language.confidence,
            redaction_coverage=redacted.coverage,
        )

    def _passages(self, messages: Sequence[Message]) -> list[Passage]:
        drafts = [draft for message in messages for draft in _drafts(message)]
        return make_passages(drafts, self._embedder, self._memo)

    def _redact(self, texts: list[str]) -> tuple[list[Redacted], list[float]]:
        """Redact texts by kind; the memo answers for repeated ones, and stores spans and the redacted text only.

        So its answer is the same in each conversation, even where the policy has tags.
        """
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]

        def compute(missing: dict[str, str]) -> dict[str, Redacted]:
            return dict(zip(missing, self._redactor.redact(list(missing.values())), strict=True))

        space = f"redact/{self._redactor.name}@{self._redactor.version}"
        inputs = dict(zip(keys, texts, strict=True))
        batch = memoised_batch(self._memo, space, inputs, compute, pack=orjson.dumps, unpack=_unpack)
        seconds = [batch.seconds if key in batch.computed else 0.0 for key in keys]
        return [batch.outputs[key] for key in keys], seconds


def _drafts(message: Message) -> Iterator[PassageDraft]:
    event_id = message.provenance.event_ids[0]
    for ordinal, (start, end) in enumerate(passage_spans(message.text)):
        locator = ChatLocator(event_id=event_id, role=message.role, start=start, end=end)
        yield PassageDraft(message, ordinal, message.text[start:end], locator)


def passage_spans(text: str, max_chars: int = MAX_PASSAGE_CHARS) -> Iterator[tuple[int, int]]:
    """Split a text into stretches of at most ``max_chars`` characters, at sentence ends where possible.

    White space at their ends is left out; a text of only white space has no stretch.
    """
    start = 0
    while start < len(text):
        end = _end(text, start, max_chars)
        stretch = text[start:end]
        lead = len(stretch) - len(stretch.lstrip())
        if stretch.strip():
            yield start + lead, start + len(stretch.rstrip())
        start = end


def _end(text: str, start: int, max_chars: int) -> int:
    limit = _limit(text, start, max_chars)
    if limit == len(text):
        return limit
    borders = [found.end() for found in _SENTENCE.finditer(text, start, limit)]
    if borders:
        return borders[-1]
    space = text.rfind(" ", start + 1, limit)
    return space + 1 if space > start else limit


def _limit(text: str, start: int, max_chars: int) -> int:
    """Find the end of a passage: a token is about six letters of a word, two digits, or any other character."""
    end = min(len(text), start + max_chars)
    if end - start <= _MAX_PASSAGE_TOKENS:
        return end
    tokens = 0
    for found in _TOKENS.finditer(text, start, end):
        size = len(found[0])
        tokens += -(-size // 6) if found["letters"] else -(-size // 2)
        if tokens > _MAX_PASSAGE_TOKENS:
            return max(found.start(), start + _MAX_PASSAGE_TOKENS)
    return end


def _unpack(_: str, packed: bytes) -> Redacted:
    fields: dict[str, Any] = orjson.loads(packed)
    return Redacted(
        fields["text"],
        tuple(fields["entities"]),
        tuple((start, end) for start, end in fields["spans"]),
        DetectedLanguage(**fields["language"]),
        fields["coverage"],
    )
