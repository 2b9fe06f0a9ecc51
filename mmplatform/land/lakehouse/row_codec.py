"""Converts records to rows of their tables, and rows to records."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from mmplatform.artifacts import (
    Artifact,
    Caption,
    Message,
    Passage,
    Quarantined,
    Retraction,
    Utterance,
    decode_artifact,
    pack_vector,
)
from mmplatform.events import MODALITY_BY_KIND, Event, Position, Record, decode_event
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.modalities import MODALITIES, QUARANTINE_TABLE, TABLE_BY_ARTIFACT_KIND

Row = dict[str, Any]


def record_to_row(
    record: Event | Message | Utterance | Caption | Passage | Quarantined, position: Position
) -> tuple[str, Row]:
    """The table of a record and its row.

    Args:
        record: the record of the log.
        position: of the record. The position in an artifact's provenance is that of its event.
    """
    if isinstance(record, Quarantined):
        return QUARANTINE_TABLE, _row(
            QUARANTINE_TABLE, {**vars(record), "reasons": list(record.reasons)}, record, position
        )
    if isinstance(record, Message | Utterance | Caption | Passage):
        return TABLE_BY_ARTIFACT_KIND[record.kind], _artifact_row(record, position)
    table = MODALITIES[MODALITY_BY_KIND[record.kind]].raw_table
    blob = getattr(record, "blob", None)
    flat = {f"blob_{name}": value for name, value in vars(blob).items()} if blob is not None else {}
    return table, _row(table, {**vars(record), **flat}, record, position)


def retraction_tables(retraction: Retraction) -> tuple[str, ...]:
    """Tables that may have the row of a retracted artifact."""
    return (MODALITIES[retraction.modality].derived_table, TABLE_BY_ARTIFACT_KIND["passage"])


def row_to_event(row: Row) -> Event:
    """The event of a raw table's row, unchanged."""
    return decode_event(row["record"])


def row_to_artifact(row: Row) -> Artifact:
    """The artifact of a derived table's row, unchanged."""
    record = row["record"]
    if row.get("vector") is not None:
        fields = orjson.loads(record)
        fields["vector_f32"] = pack_vector(np.asarray(row["vector"], dtype=np.float32))
        record = orjson.dumps(fields)
    return decode_artifact(record)


def _artifact_row(record: Message | Utterance | Caption | Passage, position: Position) -> Row:
    table = TABLE_BY_ARTIFACT_KIND[record.kind]
    provenance = record.provenance
    flat = {
        **vars(record),
        **vars(record.stamps),
        **{name: getattr(provenance, name) for name in ("deriver", "deriver_version", "model", "model_version")},
        "seconds": provenance.seconds,
        "memo_hit": provenance.memo_hit,
        "event_ids": list(provenance.event_ids),
    }
    if isinstance(record, Passage):
        flat["vector"] = record.vector.tolist()
    return _row(table, flat, record, position)


def _row(table: str, flat: Row, record: Record, position: Position) -> Row:
    flat |= {
        "topic": position.topic,
        "topic_partition": position.topic_partition,
        "log_offset": position.offset,
        # The vector has a column of its own; twice would double the largest table.
        "record": record.model_dump_json(exclude={"vector_f32"} if isinstance(record, Passage) else None),
    }
    return {name: flat.get(name) for name, _ in SPECS[table].columns}
