"""Records for tests of the stores: valid, small, and different where it matters."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np

from mmplatform.artifacts import Message, Passage, PiiCount, Provenance, Retraction, Stamps, artifact_id, pack_vector
from mmplatform.events import ChatMessage, Position
from mmplatform.locators import ChatLocator

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


def provenance(number: int) -> Provenance:
    return Provenance(
        event_ids=(f"event-{number}",),
        position=position(number, topic="interactions.chat"),
        deriver="text",
        deriver_version="1",
        seconds=0.25,
    )


def stamps(at: datetime = NOON) -> Stamps:
    return Stamps(event_time=at, ingested_at=at + timedelta(milliseconds=40), derived_at=at + timedelta(seconds=1))


def message(number: int, *, subject: str = "ann", at: datetime = NOON, text: str = "") -> Message:
    return Message(
        artifact_id=artifact_id("message", f"event-{number}", 0),
        modality="chat",
        conversation_id=f"conversation-{subject}",
        subject_id=subject,
        stamps=stamps(at),
        provenance=provenance(number),
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
) -> Passage:
    source = message(number, subject=subject, at=at)
    text = text or f"passage number {number}"
    return Passage(
        artifact_id=artifact_id("passage", source.artifact_id, 0),
        modality=modality,
        conversation_id=source.conversation_id,
        subject_id=subject,
        stamps=stamps(at),
        provenance=provenance(number),
        source_artifact_id=source.artifact_id,
        source_kind="message",
        ordinal=0,
        text=text,
        locator=ChatLocator(event_id=f"event-{number}", role="customer", start=0, end=len(text)),
        embedder=embedder,
        vector_f32=pack_vector(unit_vector(text) if vector is None else vector),
    )


def retraction(of: Message | Passage, reason: str = "redrawn") -> Retraction:
    return Retraction(
        artifact_id=of.artifact_id,
        modality=of.modality,
        conversation_id=of.conversation_id,
        subject_id=of.subject_id,
        stamps=of.stamps,
        provenance=of.provenance,
        reason=reason,
    )
