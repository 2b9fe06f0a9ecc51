"""Utterances of one call, for checks and sensors."""

from __future__ import annotations

from mmplatform.artifacts import Utterance, artifact_id
from tests.builders import chunk, stamps
from tests.land.records import provenance


def utterance(index, **change):
    event = chunk(index)
    fields = {
        "artifact_id": artifact_id("utterance", f"call-1/{index}", 0),
        "modality": "call",
        "conversation_id": "call-1",
        "subject_id": event.subject_id,
        "stamps": stamps(event_time=event.event_time, ingested_at=event.ingested_at),
        "provenance": provenance(0).model_copy(update={"event_ids": (event.event_id,)}),
        "call_id": "call-1",
        "channel": 0,
        "speaker": "agent",
        "start_s": event.start_s,
        "end_s": event.start_s + 0.5,
        "text": "hello",
        "language": "en",
        "confidence": 0.8,
    }
    return Utterance(**fields | change)
