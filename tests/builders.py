"""Valid records with one thing changed: what tests are made of."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np

from mmplatform.artifacts import Message, Passage, Provenance, Stamps, artifact_id, pack_vector
from mmplatform.events import Arrival, BlobRef, CallChunk, CallEnd, ChatMessage, Position, Screenshot
from mmplatform.locators import ChatLocator

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)


def blob(data: bytes = b"bytes", media_type: str = "audio/wav") -> BlobRef:
    digest = hashlib.sha256(data).hexdigest()
    return BlobRef(key=f"default/{digest[:2]}/{digest}", sha256=digest, size=len(data), media_type=media_type)


def position(offset: int = 0, topic: str = "interactions.chat") -> Position:
    return Position(topic=topic, topic_partition=0, offset=offset)


def chat(number: int = 0, **change) -> ChatMessage:
    fields = {
        "event_id": f"chat-{number}",
        "conversation_id": "conv-1",
        "subject_id": "cust-1",
        "event_time": NOW,
        "ingested_at": NOW + timedelta(milliseconds=50),
        "role": "customer",
        "text": f"message number {number}",
    }
    return ChatMessage(**fields | change)


def chunk(index: int = 0, **change) -> CallChunk:
    fields = {
        "event_id": f"call-1:{index}",
        "conversation_id": "call-1",
        "subject_id": "cust-1",
        "event_time": NOW + timedelta(seconds=index + 1),
        "ingested_at": NOW + timedelta(seconds=index + 1),
        "chunk_index": index,
        "start_s": float(index),
        "duration_s": 1.0,
        "sample_rate": 8000,
        "channels": 1,
        "blob": blob(str(index).encode()),
    }
    return CallChunk(**fields | change)


def call_end(**change) -> CallEnd:
    fields = {
        "event_id": "call-1:end",
        "conversation_id": "call-1",
        "subject_id": "cust-1",
        "event_time": NOW,
        "ingested_at": NOW,
    }
    return CallEnd(**fields | change)


def screenshot(number: int = 0, **change) -> Screenshot:
    fields = {
        "event_id": f"shot-{number}",
        "conversation_id": "conv-1",
        "subject_id": "cust-1",
        "event_time": NOW,
        "ingested_at": NOW,
        "width": 640,
        "height": 480,
        "blob": blob(str(number).encode(), "image/png"),
    }
    return Screenshot(**fields | change)


def arrival(event, offset: int = 0) -> Arrival:
    return Arrival(event, position(offset))


def stamps(**change) -> Stamps:
    fields = {
        "event_time": NOW,
        "ingested_at": NOW + timedelta(seconds=1),
        "taken_at": NOW + timedelta(seconds=3),
        "derived_at": NOW + timedelta(seconds=6),
    }
    return Stamps(**fields | change)


def message(event: ChatMessage, position: Position, text: str | None = None) -> Message:
    return Message(
        artifact_id=artifact_id("message", event.uid, 0),
        modality="chat",
        tenant=event.tenant,
        source=event.source,
        conversation_id=event.conversation_id,
        subject_id=event.subject_id,
        stamps=Stamps(event_time=event.event_time, ingested_at=event.ingested_at, derived_at=event.ingested_at),
        provenance=Provenance(
            event_ids=(event.event_id,), position=position, deriver="chat", deriver_version="1", seconds=0.0
        ),
        role=event.role,
        text=event.text if text is None else text,
    )


def passage(source: Message, text: str | None = None) -> Passage:
    direction = np.zeros(8, dtype=np.float32)
    direction[len(source.artifact_id) % 8] = 1.0
    return Passage(
        artifact_id=artifact_id("passage", source.artifact_id, 0),
        modality="chat",
        tenant=source.tenant,
        source=source.source,
        conversation_id=source.conversation_id,
        subject_id=source.subject_id,
        stamps=source.stamps,
        provenance=source.provenance,
        source_artifact_id=source.artifact_id,
        source_kind="message",
        ordinal=0,
        text=source.text if text is None else text,
        locator=ChatLocator(event_id=source.provenance.event_ids[0], role=source.role, start=0, end=len(source.text)),
        embedder="double@1",
        vector_f32=pack_vector(direction),
    )
