"""Output of a deriver, and the passages that every deriver makes of its artifacts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmplatform.artifacts import (
    Artifact,
    Caption,
    Message,
    Passage,
    Provenance,
    Utterance,
    Vector,
    artifact_id,
    pack_vector,
)
from mmplatform.derive.memo_batch import memoised_batch
from mmplatform.derive.readable import readable
from mmplatform.events import MODALITY_BY_KIND, Arrival, Event, utc_now
from mmplatform.identity import CANARY_TENANT
from mmplatform.locators import Locator
from mmplatform.memo import MemoryMemo
from mmplatform.ports import Embedder, Memo
from mmplatform.refusals import Quarantined, Released


@dataclass(frozen=True, slots=True)
class DerivedBatch:
    """Output of one micro-batch: every event is in an artifact, in quarantine, or in a call's state."""

    artifacts: tuple[Artifact, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    released: tuple[Released, ...] = ()


@dataclass(frozen=True, slots=True)
class PassageDraft:
    """Span of an artifact's redacted text, to be indexed once it has its vector."""

    source: Message | Utterance | Caption
    ordinal: int
    text: str
    locator: Locator


def quarantine(
    arrival: Arrival[Event], *, contract: str, reasons: Sequence[str], anchor: str | None = None
) -> Quarantined:
    """Quarantine an event. ``reasons`` must not quote its text; ``anchor`` names the row, by default its identity."""
    event = arrival.event
    return Quarantined(
        quarantine_id=artifact_id("quarantined", anchor or event.uid, 0),
        modality=MODALITY_BY_KIND[event.kind],
        tenant=event.tenant,
        source=event.source,
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
    """Embed the drafts in one batch and give them ids; a draft of which nothing is visible makes no passage.

    The text of a canary never comes again, and the memo forgets nothing: so it is not asked, and gets none of them.
    """
    drafts = [draft for draft in drafts if readable(draft.text)]
    embedded: dict[int, EmbeddedText] = {}
    for is_canary, chosen_memo in ((False, memo), (True, MemoryMemo())):
        numbers = [n for n, draft in enumerate(drafts) if (draft.source.tenant == CANARY_TENANT) is is_canary]
        texts = embed([drafts[n].text for n in numbers], embedder, chosen_memo) if numbers else []
        embedded |= dict(zip(numbers, texts, strict=True))
    return [_passage(draft, embedded[n].vector, embedder, embedded[n].seconds) for n, draft in enumerate(drafts)]


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """Vector of a text; ``seconds`` is its share of the model's time, zero when the memo answered."""

    vector: Vector
    seconds: float


def embed(texts: Sequence[str], embedder: Embedder, memo: Memo) -> list[EmbeddedText]:
    """Embed texts; the same text is embedded once, and the memo answers from then on."""
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]

    def compute(missing: dict[str, str]) -> dict[str, bytes]:
        vectors = embedder.embed(list(missing.values()))
        return {key: vector.astype("<f4").tobytes() for key, vector in zip(missing, vectors, strict=True)}

    space = f"embed/{space_name(embedder)}"
    inputs = dict(zip(keys, texts, strict=True))
    batch = memoised_batch(memo, space, inputs, compute, pack=bytes, unpack=lambda _, packed: packed)
    return [
        EmbeddedText(np.frombuffer(batch.outputs[key], dtype="<f4"), batch.seconds if key in batch.computed else 0.0)
        for key in keys
    ]


def space_name(embedder: Embedder) -> str:
    """Name an embedder's vector space, ``name@version``: only vectors of one space are comparable."""
    return f"{embedder.name}@{embedder.version}"


def _passage(draft: PassageDraft, vector: Vector, embedder: Embedder, seconds: float) -> Passage:
    source = draft.source
    return Passage(
        artifact_id=artifact_id("passage", source.artifact_id, draft.ordinal),
        modality=source.modality,
        tenant=source.tenant,
        source=source.source,
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
            revision=source.provenance.revision,
            redaction_policy=source.provenance.redaction_policy,
        ),
        source_seconds=source.provenance.seconds,
        source_artifact_id=source.artifact_id,
        source_kind=source.kind,
        ordinal=draft.ordinal,
        text=draft.text,
        locator=draft.locator,
        embedder=space_name(embedder),
        vector_f32=pack_vector(vector),
        language=source.language,
        redaction_coverage=source.redaction_coverage,
    )
