"""Records for tests of the stores: valid, small, and different where it matters."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np

from mmplatform.artifacts import Message, Passage, PiiCount, Provenance, Retraction, Stamps, artifact_id, pack_vector
from mmplatform.events import ChatMessage, Position
from mmplatform.identity import DEFAULT_TENANT
from mmplatform.locators import ChatLocator
from mmplatform.versions import Version

NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
EMBEDDER = "minilm@1"


def chat(number: int, *, subject: str = "ann", at: datetime = NOON, text: str = "") -> ChatMessage:
    return ChatMessage(
        event_id=f"event-{number}",
        conversation_id=f"conversation-{subject}",
        subject_id=subject,
        event_time=at,
        ingested_at=at + timedelta(milliseconds=40),
        source="test",
        role="customer",
        text=text or f"message number {number}",
    )


def position(offset: int, *, topic: str = "artifacts", topic_partition: int = 0) -> Position:
    return Position(topic=topic, topic_partition=topic_partition, offset=offset)


def provenance(number: int, version: Version | None = None) -> Provenance:
    version = version or Version(offset=number)
    place = position(version.offset, topic="interactions.chat").model_copy(update={"generation": version.generation})
    return Provenance(
        event_ids=(f"event-{number}",),
        position=place,
        deriver="text",
        deriver_version="1",
        seconds=0.25,
        revision=version.revision,
        derivation=version.derivation,
    )


def stamps(at: datetime = NOON) -> Stamps:
    return Stamps(event_time=at, ingested_at=at + timedelta(milliseconds=40), derived_at=at + timedelta(seconds=1))


def message(
    number: int,
    *,
    subject: str = "ann",
    at: datetime = NOON,
    text: str = "",
    tenant: str = DEFAULT_TENANT,
    version: Version | None = None,
) -> Message:
    return Message(
        artifact_id=artifact_id("message", f"event-{number}", 0),
        modality="chat",
        tenant=tenant,
        source="test",
        conversation_id=f"conversation-{subject}",
        subject_id=subject,
        stamps=stamps(at),
        provenance=provenance(number, version),
        role="customer",
        text=text or f"message number {number}",
        pii=(PiiCount(entity="PHONE_NUMBER", count=2),),
    )


def unit_vector(seed: str, dimensions: int = 8) -> np.ndarray:
    digest = hashlib.sha256(seed.encode()).digest()
    vector = np.frombuffer(digest, dtype=np.uint8)[:dimensions].astype(np.float32) - 127.5
    return vector / np.linalg.norm(vector)


def passage(
    number: int,
    *,
    subject: str = "ann",
    at: datetime = NOON,
    text: str = "",
    modality: str = "chat",
    embedder: str = EMBEDDER,
    vector: np.ndarray | None = None,
    tenant: str = DEFAULT_TENANT,
    version: Version | None = None,
) -> Passage:
    source = message(number, subject=subject, at=at, tenant=tenant, version=version)
    text = text or f"passage number {number}"
    return Passage(
        artifact_id=artifact_id("passage", source.artifact_id, 0),
        modality=modality,
        tenant=tenant,
        source=source.source,
        conversation_id=source.conversation_id,
        subject_id=subject,
        stamps=stamps(at),
        provenance=source.provenance,
        source_artifact_id=source.artifact_id,
        source_kind="message",
        ordinal=0,
        text=text,
        locator=ChatLocator(event_id=f"event-{number}", role="customer", start=0, end=len(text)),
        embedder=embedder,
        vector_f32=pack_vector(unit_vector(text) if vector is None else vector),
    )


def retraction(of: Message | Passage, reason: str = "redrawn") -> Retraction:
    """Retracts what the artifact is up to its version."""
    return Retraction(
        artifact_id=of.artifact_id,
        modality=of.modality,
        tenant=of.tenant,
        source=of.source,
        conversation_id=of.conversation_id,
        subject_id=of.subject_id,
        stamps=of.stamps,
        provenance=of.provenance,
        reason=reason,
    )
