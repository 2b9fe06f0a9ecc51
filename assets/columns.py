"""The columns that the UI shows for each asset: the Iceberg table's own, described as in the records."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from pydantic import BaseModel

from mmplatform.land.lakehouse.schemas import SPECS

_DESCRIPTIONS = {
    "topic": "topic of the record on the replay log",
    "topic_partition": "topic partition of the record on the replay log",
    "log_offset": "offset of the record on the replay log",
    "log_generation": "generation of the replay log: it grows when the log begins again",
    "logged_at": "when the broker appended the record",
    "version": "of several rows with one id the highest counts: revision, generation, offset, derivation",
    "raw_id": "follows from the event's identity and its content",
    "event_uid": "identity of the event: tenant, source, conversation and event id",
    "event_uids": "identities of the events whose bytes are in it",
    "tenant": "whose data it is",
    "source": "the system that sent it, whose ids these are",
    "subject_key": "tenant and subject; decides its bucket",
    "record": "the whole record as JSON, from which the row can be rebuilt",
    "event_id": "the source's id, unique in its conversation",
    "artifact_id": "follows from the events and their order: a rederived artifact has the same",
    "quarantine_id": "follows from the event and what refused it: the same refusal has the same",
    "quarantined_at": "when it was quarantined",
    "reasons": "the rules that it broke; never its text",
    "conversation_id": "the chat, call or case it belongs to",
    "subject_id": "the customer it is about",
    "modality": "chat, call or screenshot",
    "kind": "kind of event",
    "schema_version": "of the record",
    "event_time": "when it happened",
    "ingested_at": "when the gateway had written it to the log",
    "derived_at": "when the deriver had completed it",
    "role": "author: customer, agent or bot",
    "text": "text as written, spoken or read",
    "reason": "why a call ended",
    "blob_key": "key of its blob",
    "blob_sha256": "of the blob",
    "blob_size": "bytes",
    "blob_media_type": "of the blob",
    "deriver": "the deriver that made it",
    "deriver_version": "version of the deriver's code",
    "model_version": "version of the model's files",
    "memo_hit": "derived before from the same bytes, and not computed again",
    "call_id": "the call of the utterance",
    "channel": "of the audio, from 0",
    "speaker": "customer, agent or unknown",
    "start_s": "seconds into the call",
    "end_s": "seconds into the call",
    "language": "code of the recognised language",
    "no_speech": "probability of audio without speech",
    "status": "draft or final; gap: audio that never came, or speech without words",
    "captioner": "the captioner that wrote it",
    "image_sha256": "of the image's bytes",
    "width": "pixels",
    "height": "pixels",
    "source_artifact_id": "the message, utterance or caption it is a span of",
    "source_kind": "message, utterance or caption",
    "ordinal": "its number among the passages of its source, from 0",
    "vector": "the text's embedding, of length 1",
}
"""For columns without a description in a record; a record's own description of a field takes precedence."""


def column_schema(table: str, records: Iterable[type[BaseModel]]) -> dg.TableSchema:
    """The columns of a table; a field's description in ``records`` describes the column of its name.

    Raises:
        KeyError: there is no such table, or a column of it has no description.
    """
    spec = SPECS[table]
    descriptions = _DESCRIPTIONS | {name: text for record in records for name, text in _field_descriptions(record)}
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=kind,
                description=descriptions[name],
                constraints=dg.TableColumnConstraints(unique=name == spec.id_column),
            )
            for name, kind in spec.columns
        ]
    )


def _field_descriptions(record: type[BaseModel]) -> Iterable[tuple[str, str]]:
    """Descriptions of a record's fields, and of the fields of the records in it."""
    for name, field in record.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _field_descriptions(field.annotation)
        if field.description:
            yield name, field.description
