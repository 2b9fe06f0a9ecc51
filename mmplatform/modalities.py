"""Table of modalities, and the names of topics, tables and consumer groups, each spelled once.

Asset key = Iceberg table = OpenLineage dataset = key of the freshness window = name of the contract, where a table has
one. Tests compare them (``tests/test_definitions.py``, ``tests/lineage/test_names.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmplatform.events import Modality

ARTIFACTS_TOPIC: Final = "artifacts"
QUARANTINE_TOPIC: Final = "quarantine"
DEAD_LETTERS_TOPIC: Final = "dead-letters"
PROGRESS_TOPIC: Final = "progress"
"""Progress of the derivers, which the gateways read for their receipts."""

IDENTITY: Final = "identity"
"""Contract name of quarantine rows of conflicts: another content under one identity."""

SHED: Final = "shed"
"""Contract name of quarantine rows whose events were shed under backpressure; also a record header."""


CHAT_CHANGE: Final = "chat_change"
"""Contract name of quarantine rows of edits, deletions and redactions that change no message."""


@dataclass(frozen=True, slots=True)
class ModalitySpec:
    """One row of the table.

    Attributes:
        topic: the topic of its events on the replay log.
        raw_table: the Iceberg table of its events.
        derived_table: the Iceberg table of its first artifact; every modality then yields ``passages``.
        event_kinds: the kinds of event on its topic.
        cost_class: the dominant cost: ``text`` (nearly free), ``speech`` (ASR), ``vision`` (OCR and caption).
    """

    modality: Modality
    topic: str
    raw_table: str
    derived_table: str
    event_kinds: frozenset[str]
    cost_class: str

    @property
    def group(self) -> str:
        """Consumer group of its deriver: one per modality, so that slow ASR never blocks chats."""
        return f"derive-{self.modality}"


CHAT: Final = ModalitySpec(
    "chat",
    "interactions.chat",
    "raw_chats",
    "messages",
    frozenset({"chat_message", "chat_edited", "chat_deleted", "chat_redacted"}),
    "text",
)
CALL: Final = ModalitySpec(
    "call", "interactions.call", "raw_calls", "transcripts", frozenset({"call_chunk", "call_end"}), "speech"
)
SCREENSHOT: Final = ModalitySpec(
    "screenshot", "interactions.screenshot", "raw_screenshots", "captions", frozenset({"screenshot"}), "vision"
)
MODALITIES: Final[dict[Modality, ModalitySpec]] = {spec.modality: spec for spec in (CHAT, CALL, SCREENSHOT)}

INDEX_GROUP: Final = "index"
ARCHIVE_GROUP: Final = "archive"
PASSAGES_TABLE: Final = "passages"
QUARANTINE_TABLE: Final = "quarantine"
RETRACTIONS_TABLE: Final = "retractions"
"""Retracted artifacts: a row that arrives late, with a lower version, must not come back."""

TABLE_BY_ARTIFACT_KIND: Final[dict[str, str]] = {
    "message": CHAT.derived_table,
    "utterance": CALL.derived_table,
    "caption": SCREENSHOT.derived_table,
    "passage": PASSAGES_TABLE,
    "retraction": RETRACTIONS_TABLE,
}
TABLES: Final[tuple[str, ...]] = (
    *(spec.raw_table for spec in MODALITIES.values()),
    *(table for table in TABLE_BY_ARTIFACT_KIND.values() if table != RETRACTIONS_TABLE),
    QUARANTINE_TABLE,
)
"""The tables that are assets. ``retractions`` is none: no row of it is found or counted."""
