"""Which column comes from which: raw table → derived table → passages. Data; a test holds it to the tables.

A column of a derived table stands either in :data:`COMES_FROM` or in :data:`OWN`. The raw tables come from the log and
not from a table, so that none of their columns stands here. A call's audio and a screenshot's pixels lie in the blobs;
the column that stands for them is ``blob_sha256``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mmplatform.modalities import CALL, CHAT, MODALITIES, PASSAGES_TABLE, QUARANTINE_TABLE, SCREENSHOT

How = Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION"]
"""OpenLineage's words for a direct influence: the same value, one made of it, or one made of it in several rows."""


@dataclass(frozen=True, slots=True)
class From:
    """A column that another one comes from; ``masked``: personal data was taken out on the way."""

    column: str
    how: How = "IDENTITY"
    masked: bool = False


Columns = Mapping[str, tuple[From, ...]]


def _same(*columns: str) -> Columns:
    return {column: (From(column),) for column in columns}


def _made(*columns: str) -> tuple[From, ...]:
    return tuple(From(column, "TRANSFORMATION") for column in columns)


def _masked(*columns: str) -> tuple[From, ...]:
    return tuple(From(column, "TRANSFORMATION", masked=True) for column in columns)


def _gathered(column: str) -> tuple[From, ...]:
    return (From(column, "AGGREGATION"),)


_MESSAGES: Final[Columns] = {
    **_same("conversation_id", "subject_id", "event_time", "ingested_at", "role"),
    "artifact_id": _made("event_id"),
    "modality": _made("kind"),
    "event_ids": _gathered("event_id"),
    "text": _masked("text"),
    "record": _masked("record"),
}
_TRANSCRIPTS: Final[Columns] = {
    **_same("conversation_id", "subject_id"),
    "call_id": (From("conversation_id"),),
    "artifact_id": _made("conversation_id", "channels", "start_s"),
    "modality": _made("kind"),
    "event_ids": _gathered("event_id"),
    "event_time": _made("event_time", "start_s", "duration_s"),
    "ingested_at": _gathered("ingested_at"),
    "channel": _made("channels"),
    "speaker": _made("record"),  # who speaks on which channel stands nowhere else
    "start_s": _made("start_s", "blob_sha256"),
    "end_s": _made("start_s", "duration_s", "blob_sha256"),
    "text": _masked("blob_sha256"),
    "language": _made("blob_sha256"),
    "confidence": _made("blob_sha256"),
    "no_speech": _made("blob_sha256"),
    "status": _made("chunk_index"),  # a chunk that never came leaves a mark
    "record": _masked("record", "blob_sha256"),
}
_CAPTIONS: Final[Columns] = {
    **_same("conversation_id", "subject_id", "event_time", "ingested_at"),
    "image_sha256": (From("blob_sha256"),),
    "artifact_id": _made("event_id"),
    "modality": _made("kind"),
    "event_ids": _gathered("event_id"),
    "text": _masked("blob_sha256"),
    "width": _made("blob_sha256"),
    "height": _made("blob_sha256"),
    "duplicate_of": _made("blob_sha256", "event_id"),
    "record": _masked("record", "blob_sha256"),
}
_PASSAGES: Final[Columns] = {
    **_same("conversation_id", "subject_id", "event_time", "ingested_at", "modality", "event_ids"),
    **_same("deriver", "deriver_version"),
    "source_artifact_id": (From("artifact_id"),),
    "artifact_id": _made("artifact_id"),
    "ordinal": _made("text"),
    "text": _made("text"),
    "vector": _made("text"),
    "record": _made("record", "text"),
}
_QUARANTINE: Final[Columns] = {
    **_same("event_id", "conversation_id", "subject_id", "event_time"),
    "quarantine_id": _made("event_id"),
    "modality": _made("kind"),
    "reasons": _made("record"),  # any field may have broken the contract
    "record": _masked("record"),
}

COMES_FROM: Final[Mapping[str, Mapping[str, Columns]]] = {
    CHAT.derived_table: {CHAT.raw_table: _MESSAGES},
    CALL.derived_table: {CALL.raw_table: _TRANSCRIPTS},
    SCREENSHOT.derived_table: {SCREENSHOT.raw_table: _CAPTIONS},
    PASSAGES_TABLE: {spec.derived_table: _PASSAGES for spec in MODALITIES.values()},
    QUARANTINE_TABLE: {spec.raw_table: _QUARANTINE for spec in MODALITIES.values()},
}
"""Table → table that it comes from → column → columns of that table."""

_PLACE: Final = frozenset({"topic", "topic_partition", "log_offset", "schema_version"})
_COST: Final = frozenset({"taken_at", "derived_at", "model", "model_version", "seconds", "memo_hit"})
_MAKER: Final = frozenset({"deriver", "deriver_version"})

OWN: Final[Mapping[str, frozenset[str]]] = {
    CHAT.derived_table: _PLACE | _COST | _MAKER,
    CALL.derived_table: _PLACE | _COST | _MAKER,
    SCREENSHOT.derived_table: _PLACE | _COST | _MAKER | {"captioner"},
    PASSAGES_TABLE: _PLACE | _COST | {"embedder", "source_kind"},
    QUARANTINE_TABLE: _PLACE | {"quarantined_at", "contract"},
}
"""Columns that come from no column: who made the row, when, at what cost, and where it lay on the log."""
