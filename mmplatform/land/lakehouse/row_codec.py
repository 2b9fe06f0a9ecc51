"""Converts records to rows of their tables, and rows to records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from mmplatform.artifacts import (
    VECTOR_HEADER,
    Artifact,
    ArtifactBase,
    Passage,
    Retraction,
    decode_artifact,
    pack_vector,
)
from mmplatform.events import MODALITY_BY_KIND, CallChunk, Event, EventBase, Position, Screenshot, decode_event
from mmplatform.identity import stable_id
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.modalities import MODALITIES, QUARANTINE_TABLE, TABLE_BY_ARTIFACT_KIND
from mmplatform.refusals import Quarantined, QuarantineRecord, Released

Row = dict[str, Any]


def record_to_row(
    record: Event | Artifact | QuarantineRecord, position: Position, logged_at: datetime | None = None
) -> tuple[str, Row]:
    """The table of a record and its row.

    Args:
        record: the record of the log.
        position: of the record. The position in an artifact's provenance is that of its event.
        logged_at: when the broker appended the record.
    """
    if isinstance(record, Quarantined | Released):
        flat = {
            **vars(record),
            "reasons": list(record.reasons) if isinstance(record, Quarantined) else [],
            "event_uid": record.event_uid,
        }
        return QUARANTINE_TABLE, _row(QUARANTINE_TABLE, _versioned(flat, record), record, (position, logged_at))
    if isinstance(record, ArtifactBase):
        return TABLE_BY_ARTIFACT_KIND[record.kind], _artifact_row(record, (position, logged_at))
    table = MODALITIES[MODALITY_BY_KIND[record.kind]].raw_table
    # Not by getattr: an event may have a field of that name which this release does not know.
    blob = record.blob if isinstance(record, CallChunk | Screenshot) else None
    flat = {f"blob_{name}": value for name, value in vars(blob).items()} if blob is not None else {}
    flat |= {"raw_id": raw_id(record), "event_uid": record.uid}
    return table, _row(table, {**vars(record), **flat}, record, (position, logged_at))


def raw_id(event: Event) -> str:
    """Id of an event's row in its raw table: its identity and its content."""
    return stable_id("raw", event.uid, event.digest)


def retraction_tables(retraction: Retraction) -> tuple[str, ...]:
    """Tables that may have the row of a retracted artifact."""
    return (MODALITIES[retraction.modality].derived_table, TABLE_BY_ARTIFACT_KIND["passage"])


def row_to_event(row: Row) -> Event:
    """The event of a raw table's row, unchanged."""
    return decode_event(row["record"])


def row_to_artifact(row: Row) -> Artifact:
    """The artifact of a derived table's row, unchanged."""
    vector = row.get("vector")
    packed = pack_vector(np.asarray(vector, dtype=np.float32)) if vector is not None else b""
    return decode_artifact(row["record"], {VECTOR_HEADER: packed})


def _artifact_row(record: ArtifactBase, location: tuple[Position, datetime | None]) -> Row:
    table = TABLE_BY_ARTIFACT_KIND[record.kind]
    provenance = record.provenance
    flat = {
        **vars(record),
        **vars(record.stamps),
        **{name: getattr(provenance, name) for name in ("deriver", "deriver_version", "model", "model_version")},
        "seconds": provenance.seconds,
        "memo_hit": provenance.memo_hit,
        "redaction_policy": provenance.redaction_policy,
        "event_ids": list(provenance.event_ids),
        "event_uids": list(record.event_uids),
    }
    if isinstance(record, Passage):
        flat["vector"] = record.vector.tolist()
    return _row(table, _versioned(flat, record), record, location)


def _versioned(flat: Row, record: ArtifactBase | QuarantineRecord) -> Row:
    return flat | {"version": record.version.sortable}


def _row(
    table: str,
    flat: Row,
    record: EventBase | ArtifactBase | QuarantineRecord,
    location: tuple[Position, datetime | None],
) -> Row:
    position, logged_at = location
    flat |= {
        "subject_key": record.subject_key,
        "log_generation": position.generation,
        "logged_at": logged_at,
        "topic": position.topic,
        "topic_partition": position.topic_partition,
        "log_offset": position.offset,
        "record": record.model_dump_json(),
    }
    return {name: flat.get(name) for name, _ in SPECS[table].columns}
