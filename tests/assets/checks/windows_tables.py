"""Rows of whole hours for the checks of windows: the same hour of earlier days, and the hour that is checked."""

from __future__ import annotations

from datetime import timedelta

from mmplatform.artifacts import Caption, OcrLine, artifact_id
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.locators import Box
from tests.assets.utterances import utterance
from tests.builders import chat, screenshot, stamps
from tests.land.records import NOON, position, provenance
from tests.land.records import message as message_record
from tests.land.records import stamps as stamps_at

ROWS = 60
DAYS = 3


def land(lakehouse, records):
    """One commit for a batch of records of one table."""
    topic = "interactions.chat" if records[0].kind == "chat" else "artifacts"
    rows = [(position(number, topic=topic), record) for number, record in enumerate(records)]
    tables = {record_to_row(record, place)[0] for place, record in rows}
    [table] = tables
    lakehouse.append(
        table, [(place, record_to_row(record, place)[1]) for place, record in rows], offsets={}, source="test"
    )


def land_history(lakehouse, record, days=DAYS):
    """The same hour of earlier days; ``record`` makes a usual one of its number and its time."""
    for day in range(1, days + 1):
        land(lakehouse, hour_records(record, NOON - timedelta(days=day), first=day * 1000))


def hour_records(record, hour=NOON, *, first=0, rows=ROWS):
    return [record(first + number, hour + timedelta(seconds=number)) for number in range(rows)]


def message(number, at, **change):
    """A usual message; every third has a redacted value."""
    text = f"sentence number {number}" + (" of [PERSON]" if number % 3 == 0 else "")
    return message_record(number, at=at, text=text).model_copy(update=change)


def spoken(number, at, **change):
    """A usual utterance; every fourth is German."""
    fields = {
        "artifact_id": artifact_id("utterance", f"call-1/{number}", 0),
        "stamps": stamps(event_time=at, ingested_at=at),
        "text": f"sentence number {number}",
        "language": "de" if number % 4 == 0 else "en",
    }
    return utterance(0, **fields | change)


def caption(number, at, confidence=0.9, **change):
    """A usual caption with one line of OCR."""
    event = screenshot(number)
    fields = {
        "artifact_id": artifact_id("caption", f"event-{number}", 0),
        "modality": "screenshot",
        "conversation_id": event.conversation_id,
        "subject_id": event.subject_id,
        "stamps": stamps_at(at),
        "provenance": provenance(number),
        "text": f"window {number}",
        "captioner": "layout",
        "lines": (OcrLine(text="OK", box=Box(x0=0, y0=0, x1=1, y1=1), confidence=confidence),),
        "image_sha256": "a" * 64,
        "width": 640,
        "height": 480,
        "content_id": artifact_id("content", f"event-{number}", 0),
    }
    return Caption(**fields | change)


def raw_chat(number, at, **change):
    return chat(number, event_time=at, ingested_at=at, text=f"sentence number {number}").model_copy(update=change)
