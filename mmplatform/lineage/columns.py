"""Column lineage: raw table → derived table → passages. A test compares this data with the tables.

A column of a derived table is either in :data:`COLUMN_SOURCES` or in :data:`COLUMNS_WITHOUT_SOURCE`. The raw tables
come from the log and not from a table, so that none of their columns is here.

A call's audio and a screenshot's pixels are blobs; the column that represents them is ``blob_sha256``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mmplatform.modalities import CALL, CHAT, MODALITIES, PASSAGES_TABLE, QUARANTINE_TABLE, SCREENSHOT

TransformationType = Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION"]
"""OpenLineage's subtypes of a direct transformation: the same value, a computed one, or one over several rows."""


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """Source of a column; ``masked``: personal data was redacted on the way."""

    column: str
    transformation: TransformationType = "IDENTITY"
    masked: bool = False


ColumnSources = Mapping[str, tuple[SourceColumn, ...]]


def _identity(*columns: str) -> ColumnSources:
    return {column: (SourceColumn(column),) for column in columns}


def _transformed(*columns: str) -> tuple[SourceColumn, ...]:
    return tuple(SourceColumn(column, "TRANSFORMATION") for column in columns)


def _masked(*columns: str) -> tuple[SourceColumn, ...]:
    return tuple(SourceColumn(column, "TRANSFORMATION", masked=True) for column in columns)


def _aggregated(column: str) -> tuple[SourceColumn, ...]:
    return (SourceColumn(column, "AGGREGATION"),)


_LANGUAGE: Final = ("language", "language_confidence", "redaction_coverage")
_OWNER: Final = ("tenant", "source", "conversation_id", "subject_id", "subject_key")

_MESSAGES: Final[ColumnSources] = {
    **_identity(*_OWNER, "event_time", "ingested_at", "role"),
    "artifact_id": _transformed("event_uid"),
    "event_uids": _aggregated("event_uid"),
    "version": _transformed("log_generation", "log_offset"),
    "modality": _transformed("kind"),
    "event_ids": _aggregated("event_id"),
    "text": _masked("text"),
    "record": _masked("record"),
    **{column: _transformed("text") for column in _LANGUAGE},
}
_TRANSCRIPTS: Final[ColumnSources] = {
    **_identity(*_OWNER),
    "event_uids": _aggregated("event_uid"),
    "version": _transformed("log_generation", "log_offset"),
    "call_id": (SourceColumn("conversation_id"),),
    "artifact_id": _transformed("tenant", "source", "conversation_id", "channels", "start_s"),
    "modality": _transformed("kind"),
    "event_ids": _aggregated("event_id"),
    "event_time": _transformed("event_time", "start_s", "duration_s"),
    "ingested_at": _aggregated("ingested_at"),
    "channel": _transformed("channels"),
    "speaker": _transformed("record"),  # the speakers by channel are only in the record
    "start_s": _transformed("start_s", "blob_sha256"),
    "end_s": _transformed("start_s", "duration_s", "blob_sha256"),
    "text": _masked("blob_sha256"),
    "language": _transformed("blob_sha256"),
    "confidence": _transformed("blob_sha256"),
    "no_speech": _transformed("blob_sha256"),
    "status": _transformed("chunk_index"),  # a missing chunk becomes a gap
    "language_confidence": _transformed("blob_sha256"),
    "reason": _transformed("blob_sha256"),
    "redaction_coverage": _transformed("blob_sha256"),
    "record": _masked("record", "blob_sha256"),
}
_CAPTIONS: Final[ColumnSources] = {
    **_identity(*_OWNER, "event_time", "ingested_at"),
    "event_uids": _aggregated("event_uid"),
    "version": _transformed("log_generation", "log_offset"),
    "image_sha256": (SourceColumn("blob_sha256"),),
    "artifact_id": _transformed("event_uid"),
    "modality": _transformed("kind"),
    "event_ids": _aggregated("event_id"),
    "text": _masked("blob_sha256"),
    "width": _transformed("blob_sha256"),
    "height": _transformed("blob_sha256"),
    "content_id": _transformed("subject_key", "blob_sha256"),
    **{column: _transformed("blob_sha256") for column in _LANGUAGE},
    "record": _masked("record", "blob_sha256"),
}
_PASSAGES: Final[ColumnSources] = {
    **_identity(*_OWNER, "event_time", "ingested_at", "modality", "event_ids", "event_uids", "version"),
    **_identity("deriver", "deriver_version", "redaction_policy", "language", "redaction_coverage"),
    "source_artifact_id": (SourceColumn("artifact_id"),),
    "artifact_id": _transformed("artifact_id"),
    "ordinal": _transformed("text"),
    "text": _transformed("text"),
    "vector": _transformed("text"),
    "record": _transformed("record", "text"),
}
_QUARANTINE: Final[ColumnSources] = {
    **_identity("event_id", "event_uid", *_OWNER, "event_time"),
    "quarantine_id": _transformed("event_uid"),
    "version": _transformed("log_generation", "log_offset"),
    "modality": _transformed("kind"),
    "reasons": _transformed("record"),  # any field may have broken the contract
    "record": _masked("record"),
}

COLUMN_SOURCES: Final[Mapping[str, Mapping[str, ColumnSources]]] = {
    CHAT.derived_table: {CHAT.raw_table: _MESSAGES},
    CALL.derived_table: {CALL.raw_table: _TRANSCRIPTS},
    SCREENSHOT.derived_table: {SCREENSHOT.raw_table: _CAPTIONS},
    PASSAGES_TABLE: {spec.derived_table: _PASSAGES for spec in MODALITIES.values()},
    QUARANTINE_TABLE: {spec.raw_table: _QUARANTINE for spec in MODALITIES.values()},
}
"""Table → source table → column → columns of the source table."""

_LOG_POSITION: Final = frozenset(
    {"topic", "topic_partition", "log_offset", "log_generation", "logged_at", "schema_version"}
)
_COST: Final = frozenset({"taken_at", "derived_at", "model", "model_version", "seconds", "memo_hit"})
_DERIVER: Final = frozenset({"deriver", "deriver_version", "redaction_policy"})

COLUMNS_WITHOUT_SOURCE: Final[Mapping[str, frozenset[str]]] = {
    CHAT.derived_table: _LOG_POSITION | _COST | _DERIVER,
    CALL.derived_table: _LOG_POSITION | _COST | _DERIVER,
    SCREENSHOT.derived_table: _LOG_POSITION | _COST | _DERIVER | {"captioner"},
    PASSAGES_TABLE: _LOG_POSITION | _COST | {"embedder", "source_kind"},
    QUARANTINE_TABLE: _LOG_POSITION | {"quarantined_at", "contract", "kind"},
}
"""Columns without a source column: deriver, times, cost, and position on the log."""
