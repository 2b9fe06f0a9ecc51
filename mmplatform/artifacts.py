"""Versioned artifacts: the derived records on the ``artifacts`` topic, downstream of which no model runs.

Ids are deterministic, so that deriving again replaces the same row::

    artifact_id = sha256(kind, anchor, ordinal)

The anchor is the event's identity, or ``conversation/channel`` for utterances (they span events) with the start in
milliseconds as ordinal. Of several records with one id the one with the highest :attr:`ArtifactBase.version` counts, in
every store and for every writer; a retraction is a version too.

Every text in an artifact is redacted. Only the raw vault (the interactions topics, the raw tables and the blobs) holds
the original words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter

from mmplatform.errors import Rejected
from mmplatform.events import (
    MAX_INTEGER,
    SCHEMA_VERSION,
    BlobRef,
    Identifier,
    LogRecordBase,
    Modality,
    NonNegativeInt64,
    Position,
    Sha256,
    SpeakerName,
    UtcDatetime,
)
from mmplatform.identity import (
    DEFAULT_TENANT,
    SourceName,
    TenantId,
    conversation_key,
    event_uid,
    stable_id,
    subject_key,
)
from mmplatform.locators import Box, Locator, RoleName, Seconds
from mmplatform.parsing import Reason, parse
from mmplatform.versions import Version

VECTOR_HEADER: Final = "vector"
"""Record header with a passage's vector, little-endian float32: as bytes it is a quarter smaller than as base64, and
the value stays readable text."""

_MAX_VECTOR_BYTES: Final = 4 * 65_536
_FLOAT32: Final = 4

Vector = npt.NDArray[np.float32]
RedactionCoverage = Literal["", "full", "partial", "language_independent", "unknown"]
"""Part of the finders that know a text's language. Empty where no text was redacted, and in older records."""

_COVERAGE: Final = "share of the finders of personal data that know the language: full, partial, none, or unknown"
_LANGUAGE: Final = "code of the text's language; empty where none was detected"

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
ArtifactId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
ComponentName = Annotated[str, Field(max_length=500)]  # name or path of a deriver or model, with or without a version


def artifact_id(kind: str, anchor: str, ordinal: int) -> str:
    """Deterministic id of a derivation: 32 hex digits of a SHA-256."""
    return stable_id(kind, anchor, str(ordinal))


class Stamps(LogRecordBase):
    """Time at which each stage finished; their differences are the stages of the freshness gap."""

    event_time: UtcDatetime
    ingested_at: UtcDatetime
    taken_at: UtcDatetime | None = Field(default=None, description="when the deriver took it from the log")
    derived_at: UtcDatetime
    logged_at: UtcDatetime | None = Field(
        default=None, description="when the broker appended the artifact; readers fill it in from the record"
    )


class Provenance(LogRecordBase):
    """Source events, models and compute cost of an artifact."""

    event_ids: tuple[Identifier, ...] = Field(min_length=1, description="every event that it was made of")
    position: Position = Field(description="the event that completed it")
    blobs: tuple[BlobRef, ...] = ()
    deriver: ComponentName
    deriver_version: ComponentName
    model: ComponentName = Field(default="", description="empty where no model was needed")
    model_version: ComponentName = ""
    seconds: Seconds = Field(description="compute spent on it now; 0 when the memo answered")
    memo_hit: bool = False
    revision: int = Field(default=0, ge=0, lt=10**10, description="of the source's event: 0 unless it was edited")
    derivation: int = Field(
        default=0,
        ge=0,
        lt=10**16,
        description="0 in the stream; in a reprocessing run its start, in milliseconds since 1970",
    )
    redaction_policy: ComponentName = Field(default="", description="version of the policy; empty without a text")


class ArtifactBase(LogRecordBase):
    """Fields common to every artifact; ``kind`` names its class."""

    kind: str
    schema_version: Literal[2] = SCHEMA_VERSION
    artifact_id: ArtifactId
    modality: Modality
    tenant: TenantId = DEFAULT_TENANT
    source: SourceName = ""
    conversation_id: Identifier
    subject_id: Identifier
    stamps: Stamps
    provenance: Provenance

    @property
    def version(self) -> Version:
        """Grows for the artifact's id: the higher version wins."""
        origin = self.provenance
        return Version(origin.revision, origin.position.generation, origin.position.offset, origin.derivation)

    @property
    def conversation_key(self) -> str:
        """Identity of its conversation: the key of its records on the log."""
        return conversation_key(self.tenant, self.source, self.conversation_id)

    @property
    def subject_key(self) -> str:
        """Identity of its subject: it decides the bucket."""
        return subject_key(self.tenant, self.subject_id)

    @property
    def event_uids(self) -> tuple[str, ...]:
        """Identities of the events that it was made of."""
        return tuple(
            event_uid(self.tenant, self.source, self.conversation_id, event_id)
            for event_id in self.provenance.event_ids
        )


class PiiCount(LogRecordBase):
    """Number of redacted spans of one kind."""

    entity: str = Field(max_length=100)
    count: int = Field(ge=1, le=MAX_INTEGER)


class Message(ArtifactBase):
    """A chat message, redacted."""

    kind: Literal["message"] = "message"
    role: RoleName
    text: str
    pii: tuple[PiiCount, ...] = ()
    language: str = Field(default="", max_length=50, description=_LANGUAGE)
    language_confidence: Probability = Field(default=0.0, description="of the language; 0 where none was detected")
    redaction_coverage: RedactionCoverage = Field(default="", description=_COVERAGE)


class Word(LogRecordBase):
    """One spoken word; times in seconds from the start of the call."""

    start_s: Seconds
    end_s: Seconds
    text: str
    probability: Probability


class Utterance(ArtifactBase):
    """A timed span of speech of one speaker, or a marked gap (``status='gap'``, no text) where words are missing."""

    kind: Literal["utterance"] = "utterance"
    call_id: Identifier
    channel: NonNegativeInt64
    speaker: SpeakerName
    start_s: Seconds
    end_s: Seconds
    text: str
    words: tuple[Word, ...] = ()
    language: str = Field(default="", max_length=50)
    confidence: Probability = Field(description="mean word probability; 0 for a gap")
    no_speech: Probability = 0.0
    status: Literal["draft", "final", "gap"] = "final"
    pii: tuple[PiiCount, ...] = ()
    language_confidence: Probability = Field(default=0.0, description="of the language; 0 where none was detected")
    reason: str = Field(default="", max_length=500, description="of a gap where audio is present: why it has no words")
    redaction_coverage: RedactionCoverage = Field(default="", description=_COVERAGE)


class OcrLine(LogRecordBase):
    """One line of text read from an image, redacted."""

    text: str
    box: Box
    confidence: Probability


class Caption(ArtifactBase):
    """Description of an image in words."""

    kind: Literal["caption"] = "caption"
    text: str
    captioner: ComponentName
    lines: tuple[OcrLine, ...] = ()
    image_sha256: Sha256
    width: NonNegativeInt64
    height: NonNegativeInt64
    content_id: ArtifactId = Field(description="the same for every screenshot of one subject with the same bytes")
    pii: tuple[PiiCount, ...] = ()
    language: str = Field(default="", max_length=50, description=_LANGUAGE)
    language_confidence: Probability = Field(default=0.0, description="of the language; 0 where none was detected")
    redaction_coverage: RedactionCoverage = Field(default="", description=_COVERAGE)


class Passage(ArtifactBase):
    """An indexed span of text with its vector and its locator."""

    kind: Literal["passage"] = "passage"
    source_artifact_id: ArtifactId
    source_kind: Literal["message", "utterance", "caption"]
    ordinal: NonNegativeInt64
    text: str = Field(min_length=1)
    locator: Locator
    embedder: ComponentName = Field(description="name and version: vectors of two embedders never mix")
    source_seconds: Seconds = Field(default=0.0, description="compute that its source artifact has cost")
    vector_f32: bytes = Field(
        default=b"", exclude=True, repr=False, description="little-endian float32; travels in a header of the record"
    )
    language: str = Field(default="", max_length=50, description=_LANGUAGE)
    redaction_coverage: RedactionCoverage = Field(default="", description=_COVERAGE)

    @property
    def vector(self) -> Vector:
        """The embedding, shape ``(dimensions,)``."""
        return np.frombuffer(self.vector_f32, dtype="<f4")


class Retraction(ArtifactBase):
    """Retracts an artifact that a later event made wrong; ``artifact_id`` names it."""

    kind: Literal["retraction"] = "retraction"
    reason: Reason


Artifact = Message | Utterance | Caption | Passage | Retraction
_ARTIFACT: TypeAdapter[Artifact] = TypeAdapter(Annotated[Artifact, Field(discriminator="kind")])


def pack_vector(vector: Vector) -> bytes:
    """Encode one embedding for :attr:`Passage.vector_f32`."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def check_vector(packed: bytes) -> bytes:
    """Return a good vector. Raises Rejected: a bad one becomes a dead letter and does not end the indexer."""
    if not packed or len(packed) % _FLOAT32 or len(packed) > _MAX_VECTOR_BYTES:
        raise Rejected(f"not an artifact: {VECTOR_HEADER}: {len(packed)} bytes are no vector of float32")
    if not np.isfinite(np.frombuffer(packed, dtype="<f4")).all():
        raise Rejected(f"not an artifact: {VECTOR_HEADER}: has NaN or infinite parts")
    return packed


def decode_artifact(value: bytes | str | None, headers: Mapping[str, bytes] | None = None) -> Artifact:
    """Parse an artifact from the log.

    Args:
        value: of the record, JSON.
        headers: of the record; a passage needs its vector.

    Raises:
        Rejected: the value is no JSON, of an unknown kind or version, or a field is wrong.
    """
    artifact = parse(_ARTIFACT, value, "an artifact")
    if isinstance(artifact, Passage):
        return with_vector(artifact, (headers or {}).get(VECTOR_HEADER, b""))
    return artifact


def with_vector(passage: Passage, packed: bytes) -> Passage:
    """The passage with a checked vector. Raises Rejected."""
    return passage.model_copy(update={"vector_f32": check_vector(packed)})


def artifact_schema() -> dict[str, Any]:
    """The JSON Schema of every artifact."""
    return _ARTIFACT.json_schema()


def count_pii_kinds(entities: Sequence[str]) -> tuple[PiiCount, ...]:
    """Count redacted entities by kind, sorted by name."""
    return tuple(PiiCount(entity=name, count=entities.count(name)) for name in sorted(set(entities)))
