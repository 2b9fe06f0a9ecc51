"""Versioned artifacts: the derived records on the ``artifacts`` topic, downstream of which no model runs.

Ids are deterministic, so that deriving again replaces the same row::

    artifact_id = sha256(kind, anchor, ordinal)

The anchor is the event's id, or ``call_id/channel`` for utterances (they span events) with the start in milliseconds as
ordinal. The deriver's version is not part of the id: rows of a newer version replace those of the older one.

Every text in an artifact is redacted. Only the raw vault (the interactions topics, the raw tables and the blobs) holds
the original words.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from mmplatform.events import (
    MAX_INTEGER,
    BlobRef,
    Identifier,
    Modality,
    NonNegativeInt64,
    Position,
    Reason,
    Record,
    Sha256,
    SpeakerName,
    UtcDatetime,
    parse,
)

_MAX_VECTOR_CHARS: Final = 4 * 65_536
_FLOAT32: Final = 4


def _check_vector(packed: str) -> str:
    """Refuse a bad vector when it is parsed: it becomes one dead letter and does not end the indexer."""
    try:
        data = binascii.a2b_base64(packed, strict_mode=True)
    except ValueError:
        raise PydanticCustomError("vector_base64", "is no base64") from None
    if not data or len(data) % _FLOAT32:
        raise PydanticCustomError("vector_float32", "is no whole number of float32") from None
    if not np.isfinite(np.frombuffer(data, dtype="<f4")).all():
        raise PydanticCustomError("vector_finite", "has NaN or infinite parts") from None
    return packed


Vector = npt.NDArray[np.float32]
PackedVector = Annotated[str, Field(max_length=_MAX_VECTOR_CHARS), AfterValidator(_check_vector)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PixelCoordinate = Annotated[float, Field(allow_inf_nan=False)]
ArtifactId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
RoleName = Annotated[str, Field(max_length=50)]
ComponentName = Annotated[str, Field(max_length=500)]  # name or path of a deriver or model, with or without a version


def artifact_id(kind: str, anchor: str, ordinal: int) -> str:
    """Deterministic id of a derivation: 32 hex digits of a SHA-256."""
    return hashlib.sha256(f"{kind}\x1f{anchor}\x1f{ordinal}".encode()).hexdigest()[:32]


class Stamps(Record):
    """Time at which each stage finished; their differences are the stages of the freshness gap."""

    event_time: UtcDatetime
    ingested_at: UtcDatetime
    taken_at: UtcDatetime | None = Field(default=None, description="when the deriver took it from the log")
    derived_at: UtcDatetime


class Provenance(Record):
    """Source events, models and compute cost of an artifact."""

    event_ids: tuple[Identifier, ...] = Field(min_length=1, description="every event whose bytes are in it")
    position: Position = Field(description="the event that completed it")
    blobs: tuple[BlobRef, ...] = ()
    deriver: ComponentName
    deriver_version: ComponentName
    model: ComponentName = Field(default="", description="empty where no model was needed")
    model_version: ComponentName = ""
    seconds: Seconds = Field(description="compute spent on it now; 0 when the memo answered")
    memo_hit: bool = False


class ArtifactBase(Record):
    """Fields common to every artifact."""

    schema_version: Literal[1] = 1
    artifact_id: ArtifactId
    modality: Modality
    conversation_id: Identifier
    subject_id: Identifier
    stamps: Stamps
    provenance: Provenance


class PiiCount(Record):
    """Number of redacted spans of one kind."""

    entity: str = Field(max_length=100)
    count: int = Field(ge=1, le=MAX_INTEGER)


class Message(ArtifactBase):
    """A chat message, redacted."""

    kind: Literal["message"] = "message"
    role: RoleName
    text: str
    pii: tuple[PiiCount, ...] = ()


class Word(Record):
    """One spoken word; times in seconds from the start of the call."""

    start_s: Seconds
    end_s: Seconds
    text: str
    probability: Probability


class Utterance(ArtifactBase):
    """A timed span of speech of one speaker, or a marked gap (``status='gap'``, no text) where audio is missing."""

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


class Box(Record):
    """An upright rectangle in pixels of the original image."""

    x0: PixelCoordinate
    y0: PixelCoordinate
    x1: PixelCoordinate
    y1: PixelCoordinate


class OcrLine(Record):
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
    content_id: ArtifactId | None = Field(
        default=None, description="the same for every screenshot of one subject with the same bytes"
    )
    # Of records from before `content_id`: read, ignored, never written.
    duplicate_of: Annotated[None, BeforeValidator(lambda _: None)] = Field(default=None, exclude=True, repr=False)
    pii: tuple[PiiCount, ...] = ()


class ChatLocator(Record):
    """A span of one chat message (characters of the redacted text)."""

    at: Literal["chat"] = "chat"
    event_id: Identifier
    role: RoleName
    start: NonNegativeInt64
    end: NonNegativeInt64


class CallLocator(Record):
    """A span of a call, in seconds from its start."""

    at: Literal["call"] = "call"
    call_id: Identifier
    channel: NonNegativeInt64
    speaker: SpeakerName
    start_s: Seconds
    end_s: Seconds


class ImageLocator(Record):
    """A box of an image; the whole image for its caption."""

    at: Literal["image"] = "image"
    event_id: Identifier
    blob: BlobRef
    box: Box


Locator = Annotated[ChatLocator | CallLocator | ImageLocator, Field(discriminator="at")]


class Passage(ArtifactBase):
    """An indexed span of text with its vector and its locator."""

    kind: Literal["passage"] = "passage"
    source_artifact_id: ArtifactId
    source_kind: Literal["message", "utterance", "caption"]
    ordinal: NonNegativeInt64
    text: str = Field(min_length=1)
    locator: Locator
    embedder: ComponentName = Field(description="name and version: vectors of two embedders never mix")
    vector_f32: PackedVector = Field(description="base64 of little-endian float32", repr=False)

    @property
    def vector(self) -> Vector:
        """The embedding, shape ``(dimensions,)``."""
        return unpack_vector(self.vector_f32)


class Retraction(ArtifactBase):
    """Retracts an artifact that a later event made wrong; ``artifact_id`` names it."""

    kind: Literal["retraction"] = "retraction"
    reason: Reason


Artifact = Message | Utterance | Caption | Passage | Retraction
_ARTIFACT: TypeAdapter[Artifact] = TypeAdapter(Annotated[Artifact, Field(discriminator="kind")])


class Quarantined(Record):
    """Quarantine row of an event that parsed but broke its contract. It points at the event and does not quote it."""

    schema_version: Literal[1] = 1
    kind: Literal["quarantined"] = "quarantined"
    quarantine_id: ArtifactId = Field(description="artifact_id('quarantined', event_id, 0)")
    modality: Modality
    event_id: Identifier
    conversation_id: Identifier
    subject_id: Identifier
    event_time: UtcDatetime
    quarantined_at: UtcDatetime
    contract: str = Field(max_length=100, description="which contract, or which stage, refused it")
    reasons: tuple[Reason, ...] = Field(min_length=1)
    position: Position


class DeadLetter(Record):
    """A log record that could not be parsed: its position and the reason, so that it can be read and redriven."""

    schema_version: Literal[1] = 1
    kind: Literal["dead_letter"] = "dead_letter"
    position: Position
    reason: Reason
    size: NonNegativeInt64 = Field(description="bytes of the value")
    value_sha256: Sha256
    dead_at: UtcDatetime


def pack_vector(vector: Vector) -> str:
    """Encode one embedding for :attr:`Passage.vector_f32`."""
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode("ascii")


def unpack_vector(packed: str) -> Vector:
    """The reverse of :func:`pack_vector`; shape ``(dimensions,)``."""
    return np.frombuffer(base64.b64decode(packed), dtype="<f4")


def decode_artifact(value: bytes | str | None) -> Artifact:
    """Parse an artifact from the log. Raises ``Rejected``: no JSON, an unknown kind or version, or a wrong field."""
    return parse(_ARTIFACT, value, "an artifact")


def artifact_schema() -> dict[str, Any]:
    """The JSON Schema of every artifact."""
    return _ARTIFACT.json_schema()


def count_pii_kinds(entities: Sequence[str]) -> tuple[PiiCount, ...]:
    """Count redacted entities by kind, sorted by name."""
    return tuple(PiiCount(entity=name, count=entities.count(name)) for name in sorted(set(entities)))
