"""Size limit of a record of the log: a larger artifact is quarantined, in the stream as in a reprocessing run."""

from __future__ import annotations

from typing import Final

from mmplatform.artifacts import Artifact, artifact_id
from mmplatform.events import encode, utc_now
from mmplatform.refusals import Quarantined

MAX_RECORD_BYTES: Final = 900_000
"""Below the limit of every topic of the platform, with room for key and headers."""


def encode_or_quarantine(artifact: Artifact) -> tuple[Artifact | Quarantined, bytes]:
    """The artifact, or the quarantine row that replaces one that is too large; with the bytes for the log."""
    value = encode(artifact)
    if len(value) <= MAX_RECORD_BYTES:
        return artifact, value
    row = quarantine_too_large(artifact, len(value), f"the {MAX_RECORD_BYTES} that fit a record of the log")
    return row, encode(row)


def quarantine_too_large(artifact: Artifact, size: int, limit: str) -> Quarantined:
    """The quarantine row of an artifact that no broker accepts: to send it would be retried for ever."""
    return Quarantined(
        quarantine_id=artifact_id("quarantined", artifact.event_uids[-1], 1),
        modality=artifact.modality,
        tenant=artifact.tenant,
        source=artifact.source,
        event_id=artifact.provenance.event_ids[-1],
        conversation_id=artifact.conversation_id,
        subject_id=artifact.subject_id,
        event_time=artifact.stamps.event_time,
        quarantined_at=utc_now(),
        contract=artifact.kind,
        reasons=(f"the {artifact.kind} is {size} bytes, over {limit}",),
        position=artifact.provenance.position,
        derivation=artifact.provenance.derivation,
    )
