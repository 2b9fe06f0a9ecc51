"""What fits a record of the log: an artifact that does not is set aside, in the stream as in a reprocessing run."""

from __future__ import annotations

from typing import Final

from mmplatform.artifacts import Artifact, Quarantined, artifact_id
from mmplatform.events import encode, utc_now

LARGEST: Final = 900_000
"""Bytes of one record: below what every topic of ours takes, with room for key and headers."""


def fit(artifact: Artifact) -> tuple[Artifact | Quarantined, bytes]:
    """The artifact, or where it does not fit the quarantine row in its place; with the bytes for the log."""
    value = encode(artifact)
    if len(value) <= LARGEST:
        return artifact, value
    row = too_large(artifact, len(value), f"the {LARGEST} that fit a record of the log")
    return row, encode(row)


def too_large(artifact: Artifact, size: int, limit: str) -> Quarantined:
    """A record that no broker takes would be tried for ever: it is set aside, and its neighbours go on."""
    event_id = artifact.provenance.event_ids[-1]
    return Quarantined(
        quarantine_id=artifact_id("quarantined", event_id, 1),
        modality=artifact.modality,
        event_id=event_id,
        conversation_id=artifact.conversation_id,
        subject_id=artifact.subject_id,
        event_time=artifact.stamps.event_time,
        quarantined_at=utc_now(),
        contract=artifact.kind,
        reasons=(f"the {artifact.kind} is {size} bytes, over {limit}",),
        position=artifact.provenance.position,
    )
