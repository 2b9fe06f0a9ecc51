"""Converts passages to rows of the index, and rows of the index to hits that cite their source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from mmplatform.artifacts import Passage, Vector
from mmplatform.events import Modality
from mmplatform.locators import CallLocator, ChatLocator, ImageLocator, Locator
from mmplatform.versions import NO_VERSION


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result.

    Attributes:
        passage_id: the passage's artifact_id.
        score: cosine similarity to the query, -1 to 1; higher is nearer.
        event_time: of the event; the other times are the stages after it.
        logged_at: when the broker had appended the passage.
        indexed_at: when the index had acknowledged it.
        seconds: compute that it has cost, from its source's models to its vector.
        memo_hit: the memo had its vector.
        source: the system that sent its event.
        locator: the cited call second, image box or chat message.
        source_artifact_id: the message, utterance or caption of which it is a part.
        event_ids: the events from which it was derived.
        language: code of its language; empty where none was detected.
        redaction_coverage: how much of the redaction knows that language.
        version: sortable version of the passage.
    """

    passage_id: str
    text: str
    score: float
    modality: Modality
    tenant: str
    source: str
    subject_id: str
    conversation_id: str
    event_time: datetime
    ingested_at: datetime
    derived_at: datetime
    logged_at: datetime
    indexed_at: datetime
    seconds: float
    memo_hit: bool
    locator: ChatLocator | CallLocator | ImageLocator
    source_kind: str
    source_artifact_id: str
    event_ids: tuple[str, ...]
    embedder: str
    language: str = ""
    redaction_coverage: str = ""
    version: str = NO_VERSION


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A passage as one collection stores it; ``metadata`` is from :func:`passage_metadata`."""

    artifact_id: str
    text: str
    metadata: Mapping[str, Any]
    vector: Vector


@dataclass(frozen=True, slots=True)
class PassageStamps:
    """Stage times of a passage of the index, without its text and subject."""

    passage_id: str
    embedder: str
    modality: Modality
    event_time: datetime
    derived_at: datetime
    logged_at: datetime
    indexed_at: datetime


@cache
def _locator_adapter() -> TypeAdapter[ChatLocator | CallLocator | ImageLocator]:
    return TypeAdapter(Locator)


def passage_metadata(passage: Passage, indexed_at: datetime) -> dict[str, Any]:
    """Flat metadata that the index stores and filters by; times as epoch seconds and, for citation, as ISO 8601."""
    stamps = passage.stamps
    return {
        "version": passage.version.sortable,
        "tenant": passage.tenant,
        "source": passage.source,
        "subject_id": passage.subject_id,
        "subject_key": passage.subject_key,
        "conversation_id": passage.conversation_id,
        "modality": passage.modality,
        "event_time": stamps.event_time.timestamp(),
        "event_time_iso": stamps.event_time.isoformat(),
        "ingested_at": stamps.ingested_at.isoformat(),
        "derived_at": stamps.derived_at.isoformat(),
        "logged_at": (stamps.logged_at or stamps.derived_at).isoformat(),
        "indexed_at": indexed_at.isoformat(),
        "seconds": passage.provenance.seconds + passage.source_seconds,
        "memo_hit": passage.provenance.memo_hit,
        "locator": passage.locator.model_dump_json(),
        "source_kind": passage.source_kind,
        "source_artifact_id": passage.source_artifact_id,
        "event_ids": json.dumps(passage.provenance.event_ids),
        "embedder": passage.embedder,
        "language": passage.language,
        "redaction_coverage": passage.redaction_coverage,
    }


def row_to_hit(passage_id: str, text: str, score: float, metadata: Mapping[str, Any]) -> Hit:
    """The hit of a row; the reverse of :func:`passage_metadata`."""
    return Hit(
        passage_id=passage_id,
        text=text,
        score=score,
        modality=metadata["modality"],
        tenant=metadata["tenant"],
        source=metadata["source"],
        subject_id=metadata["subject_id"],
        conversation_id=metadata["conversation_id"],
        event_time=datetime.fromisoformat(metadata["event_time_iso"]),
        ingested_at=datetime.fromisoformat(metadata["ingested_at"]),
        derived_at=datetime.fromisoformat(metadata["derived_at"]),
        logged_at=datetime.fromisoformat(metadata["logged_at"]),
        indexed_at=datetime.fromisoformat(metadata["indexed_at"]),
        seconds=metadata["seconds"],
        memo_hit=metadata["memo_hit"],
        locator=_locator_adapter().validate_json(metadata["locator"]),
        source_kind=metadata["source_kind"],
        source_artifact_id=metadata["source_artifact_id"],
        event_ids=tuple(json.loads(metadata["event_ids"])),
        embedder=metadata["embedder"],
        language=metadata.get("language", ""),  # absent in rows of an earlier release
        redaction_coverage=metadata.get("redaction_coverage", ""),
        version=str(metadata.get("version", NO_VERSION)),
    )


def row_to_stamps(passage_id: str, metadata: Mapping[str, Any]) -> PassageStamps:
    """The stamps in a row's metadata, as :func:`passage_metadata` wrote them."""
    return PassageStamps(
        passage_id=passage_id,
        embedder=metadata["embedder"],
        modality=metadata["modality"],
        event_time=datetime.fromisoformat(metadata["event_time_iso"]),
        derived_at=datetime.fromisoformat(metadata["derived_at"]),
        logged_at=datetime.fromisoformat(metadata["logged_at"]),
        indexed_at=datetime.fromisoformat(metadata["indexed_at"]),
    )


def where_filter(
    subject: str | None,
    modalities: Sequence[Modality],
    since: datetime | None,
    until: datetime | None,
    tenant: str | None = None,
) -> dict[str, Any] | None:
    """Chroma's filter on the metadata; Chroma accepts ``$and`` for two conditions or more only."""
    conditions: list[dict[str, Any]] = []
    if subject is not None:
        conditions.append({"subject_key": {"$eq": subject}})
    if tenant is not None:
        conditions.append({"tenant": {"$eq": tenant}})
    if modalities:
        conditions.append({"modality": {"$in": list(modalities)}})
    if since is not None:
        conditions.append({"event_time": {"$gte": since.timestamp()}})
    if until is not None:
        conditions.append({"event_time": {"$lt": until.timestamp()}})
    return {"$and": conditions} if len(conditions) > 1 else (conditions[0] if conditions else None)
