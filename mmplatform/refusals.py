"""Refusals on the log: quarantine rows of events that parsed, and dead letters of records that did not."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from mmplatform.artifacts import ArtifactId
from mmplatform.events import (
    SCHEMA_VERSION,
    Identifier,
    LogRecordBase,
    Modality,
    NonNegativeInt64,
    Position,
    Sha256,
    UtcDatetime,
)
from mmplatform.identity import DEFAULT_TENANT, SourceName, TenantId, conversation_key, event_uid, subject_key
from mmplatform.parsing import Reason, parse
from mmplatform.versions import Version


class QuarantineBase(LogRecordBase):
    """Fields common to the records on the quarantine topic; ``kind`` names the class."""

    kind: str
    schema_version: Literal[2] = SCHEMA_VERSION
    quarantine_id: ArtifactId
    modality: Modality
    tenant: TenantId = DEFAULT_TENANT
    source: SourceName = ""
    conversation_id: Identifier
    event_id: Identifier
    subject_id: Identifier
    event_time: UtcDatetime
    quarantined_at: UtcDatetime
    position: Position = Field(description="of the event")
    derivation: int = Field(default=0, ge=0, lt=10**16, description="as in an artifact's provenance")

    @property
    def version(self) -> Version:
        """As an artifact's."""
        return Version(0, self.position.generation, self.position.offset, self.derivation)

    @property
    def event_uid(self) -> str:
        """Identity of the event."""
        return event_uid(self.tenant, self.source, self.conversation_id, self.event_id)

    @property
    def conversation_key(self) -> str:
        """Identity of its conversation: the key of its records on the log."""
        return conversation_key(self.tenant, self.source, self.conversation_id)

    @property
    def subject_key(self) -> str:
        """Identity of its subject."""
        return subject_key(self.tenant, self.subject_id)


class Quarantined(QuarantineBase):
    """Quarantine row of an event that parsed but broke its contract. It points at the event and does not quote it."""

    kind: Literal["quarantined"] = "quarantined"
    contract: str = Field(max_length=100, description="which contract, or which stage, refused it")
    reasons: tuple[Reason, ...] = Field(min_length=1)


class Released(QuarantineBase):
    """Retracts a quarantine row: a reprocessing run has derived its event."""

    kind: Literal["released"] = "released"


QuarantineRecord = Quarantined | Released
_QUARANTINE_RECORD: TypeAdapter[QuarantineRecord] = TypeAdapter(
    Annotated[QuarantineRecord, Field(discriminator="kind")]
)


def decode_quarantine_record(value: bytes | str | None) -> QuarantineRecord:
    """Parse a record of the quarantine topic. Raises Rejected."""
    return parse(_QUARANTINE_RECORD, value, "a quarantine row")


def quarantine_schema() -> dict[str, Any]:
    """The JSON Schema of every record of the quarantine topic."""
    return _QUARANTINE_RECORD.json_schema()


class DeadLetter(LogRecordBase):
    """A log record that could not be parsed: its position and the reason, so that it can be read and redriven."""

    schema_version: Literal[2] = SCHEMA_VERSION
    kind: Literal["dead_letter"] = "dead_letter"
    position: Position
    reason: Reason
    size: NonNegativeInt64 = Field(description="bytes of the value")
    value_sha256: Sha256
    dead_at: UtcDatetime
