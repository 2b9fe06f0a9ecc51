"""The columns that the UI shows for each asset: the Iceberg table's own, described in the words of the records."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from pydantic import BaseModel

from mmplatform.land.lakehouse.schemas import SPECS

_WORDS = {
    "topic": "where on the replay log the record lies",
    "topic_partition": "where on the replay log the record lies",
    "log_offset": "where on the replay log the record lies",
    "record": "the whole record as JSON; it can be rebuilt from here",
    "event_id": "what the source calls it; the same event again has the same",
    "artifact_id": "follows from the events and their order: derived again, it has the same",
    "quarantined_at": "when it was set aside",
    "reasons": "which rules it broke; never its text",
    "conversation_id": "the chat, call or case it belongs to",
    "subject_id": "the customer it is about; says in which bucket it lies",
    "modality": "chat, call or screenshot",
    "kind": "what sort of event",
    "schema_version": "of the record",
    "event_time": "when it happened",
    "ingested_at": "when the gateway had it safe on the log",
    "derived_at": "when the deriver was done with it",
    "role": "who wrote it: customer, agent or bot",
    "text": "what was written, said or read",
    "reason": "why a call ended",
    "blob_key": "where its bytes lie",
    "blob_sha256": "of its bytes",
    "blob_size": "bytes",
    "blob_media_type": "of its bytes",
    "deriver": "what made it",
    "deriver_version": "of the code that made it",
    "model_version": "of the model's files",
    "memo_hit": "the same bytes were derived before and not paid for again",
    "call_id": "the call it was said in",
    "channel": "of the audio, from 0",
    "speaker": "customer, agent or unknown",
    "start_s": "seconds into the call",
    "end_s": "seconds into the call",
    "language": "code of the language that was recognised",
    "no_speech": "probability that nobody spoke",
    "status": "draft or final; gap: audio that never came",
    "captioner": "what wrote the caption",
    "image_sha256": "of the image's bytes",
    "width": "pixels",
    "height": "pixels",
    "source_artifact_id": "the message, utterance or caption it is a span of",
    "source_kind": "message, utterance or caption",
    "ordinal": "its place among the passages of its source, from 0",
    "vector": "the text's embedding, of length 1",
}
"""Where no record says it; what a record says of its own field comes first."""


def column_schema(table: str, records: Iterable[type[BaseModel]]) -> dg.TableSchema:
    """The columns of a table; what a field of ``records`` says of itself describes the column of its name.

    Raises:
        KeyError: there is no such table, or a column of it that nobody has described.
    """
    spec = SPECS[table]
    words = _WORDS | {name: text for record in records for name, text in _described(record)}
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=kind,
                description=words[name],
                constraints=dg.TableColumnConstraints(unique=name == spec.id_column),
            )
            for name, kind in spec.columns
        ]
    )


def _described(record: type[BaseModel]) -> Iterable[tuple[str, str]]:
    """Descriptions of a record's fields, and of the fields of the records in it."""
    for name, field in record.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _described(field.annotation)
        if field.description:
            yield name, field.description
