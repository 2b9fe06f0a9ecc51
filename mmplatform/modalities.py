"""The table of modalities and the names of everything on the log: one place, so that no name is spelled twice.

Asset key = Iceberg table = OpenLineage dataset = key of the freshness window; a contract, where a table has one, goes
by the same name. Tests compare them (``tests/test_definitions.py``, ``tests/lineage/test_names.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmplatform.events import Modality

ARTIFACTS_TOPIC: Final = "artifacts"
QUARANTINE_TOPIC: Final = "quarantine"
DEAD_LETTERS_TOPIC: Final = "dead-letters"

SHED: Final = "shed"
"""The contract of quarantine rows whose events nobody derived because there were too many; also a record's header."""


@dataclass(frozen=True, slots=True)
class ModalitySpec:
    """One row of the table.

    Attributes:
        topic: where its events lie on the replay log.
        raw_table: the Iceberg table of its events.
        derived_table: the Iceberg table of its first artifact; every modality then yields ``passages``.
        event_kinds: the kinds of event that may lie on its topic.
        cost_class: what dominates its cost: ``text`` (nearly free), ``speech`` (ASR), ``vision`` (OCR and caption).
    """

    modality: Modality
    topic: str
    raw_table: str
    derived_table: str
    event_kinds: frozenset[str]
    cost_class: str

    @property
    def group(self) -> str:
        """The consumer group of its deriver: one for each modality, so that slow ASR never blocks chats."""
        return f"derive-{self.modality}"


CHAT: Final = ModalitySpec("chat", "interactions.chat", "raw_chats", "messages", frozenset({"chat_message"}), "text")
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
TABLE_BY_ARTIFACT_KIND: Final[dict[str, str]] = {
    "message": CHAT.derived_table,
    "utterance": CALL.derived_table,
    "caption": SCREENSHOT.derived_table,
    "passage": PASSAGES_TABLE,
}
TABLES: Final[tuple[str, ...]] = (
    *(spec.raw_table for spec in MODALITIES.values()),
    *TABLE_BY_ARTIFACT_KIND.values(),
    QUARANTINE_TABLE,
)
