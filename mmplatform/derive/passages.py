"""What a deriver returns, and the passages that every deriver ends in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmplatform.artifacts import (
    Artifact,
    Caption,
    Locator,
    Message,
    Passage,
    Provenance,
    Quarantined,
    Utterance,
    Vector,
    artifact_id,
    pack_vector,
)
from mmplatform.events import MODALITY_OF_KIND, Arrival, Event, utc_now
from mmplatform.ports import Embedder, Memo


@dataclass(frozen=True, slots=True)
class DerivedBatch:
    """The outcome of one micro-batch: every event is in an artifact, in quarantine, or held in a call's state."""

    artifacts: tuple[Artifact, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()


@dataclass(frozen=True, slots=True)
class PassageDraft:
    """A span of an artifact's redacted text that is to be found, before it has its vector."""

    source: Message | Utterance | Caption
    ordinal: int
    text: str
    locator: Locator


def quarantine(arrival: Arrival[Event], *, contract: str, reasons: Sequence[str]) -> Quarantined:
    """Set an event aside. ``reasons`` must not quote the event's text."""
    event = arrival.event
    return Quarantined(
        quarantine_id=artifact_id("quarantined", event.event_id, 0),
        modality=MODALITY_OF_KIND[event.kind],
        event_id=event.event_id,
        conversation_id=event.conversation_id,
        subject_id=event.subject_id,
        event_time=event.event_time,
        quarantined_at=utc_now(),
        contract=contract,
        reasons=tuple(reasons),
        position=arrival.position,
    )


def make_passages(drafts: Sequence[PassageDraft], embedder: Embedder, memo: Memo) -> list[Passage]:
    """Embed the drafts in one batch and give them ids. A text that was embedded before is not paid for again."""
    if not drafts:
        return []
    found = embed([draft.text for draft in drafts], embedder, memo)
    return [_passage(draft, each.vector, embedder, each.seconds) for draft, each in zip(drafts, found, strict=True)]


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """A text's vector; ``seconds`` is its share of the model's time, zero where the memo knew it."""

    vector: Vector
    seconds: float


def embed(texts: Sequence[str], embedder: Embedder, memo: Memo) -> list[EmbeddedText]:
    """The vectors of texts; only what the memo does not know is paid for, and remembered."""
    space = space_name(embedder)
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    known = dict(memo.get_many(f"embed/{space}", keys))
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    started = time.perf_counter()
    fresh = embedder.embed(list(missing.values()))
    share = (time.perf_counter() - started) / len(missing) if missing else 0.0
    new = {key: vector.astype("<f4").tobytes() for key, vector in zip(missing, fresh, strict=True)}
    memo.put_many(f"embed/{space}", new)
    known |= new
    return [EmbeddedText(np.frombuffer(known[key], dtype="<f4"), share if key in missing else 0.0) for key in keys]


def space_name(embedder: Embedder) -> str:
    """``name@version``: what its vectors are compared within."""
    return f"{embedder.name}@{embedder.version}"


def _passage(draft: PassageDraft, vector: Vector, embedder: Embedder, seconds: float) -> Passage:
    source = draft.source
    return Passage(
        artifact_id=artifact_id("passage", source.artifact_id, draft.ordinal),
        modality=source.modality,
        conversation_id=source.conversation_id,
        subject_id=source.subject_id,
        stamps=source.stamps.model_copy(update={"derived_at": utc_now()}),
        provenance=Provenance(
            event_ids=source.provenance.event_ids,
            position=source.provenance.position,
            blobs=source.provenance.blobs,
            deriver=source.provenance.deriver,
            deriver_version=source.provenance.deriver_version,
            model=embedder.name,
            model_version=embedder.version,
            seconds=seconds,
            memo_hit=seconds == 0.0,
        ),
        source_artifact_id=source.artifact_id,
        source_kind=source.kind,
        ordinal=draft.ordinal,
        text=draft.text,
        locator=draft.locator,
        embedder=space_name(embedder),
        vector_f32=pack_vector(vector),
    )
