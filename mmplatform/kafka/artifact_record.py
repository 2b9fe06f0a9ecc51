"""A record of the artifacts topic, with the time at which the broker appended it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from mmplatform.artifacts import Artifact, decode_artifact


def decode_artifact_record(value: bytes | None, headers: Mapping[str, bytes], logged_at: datetime | None) -> Artifact:
    """Parse a record of the artifacts topic; its stamps have ``logged_at``. Raises Rejected."""
    artifact = decode_artifact(value, headers)
    stamps = artifact.stamps.model_copy(update={"logged_at": logged_at})
    return artifact.model_copy(update={"stamps": stamps})
