"""Withdrawal of a changed chat whose new text cannot be published: its old text was found, and must not stay."""

from __future__ import annotations

from mmplatform.artifacts import Artifact, ArtifactBase, Retraction
from mmplatform.modalities import CHAT


def is_changed_chat(artifact: Artifact) -> bool:
    """True for what was derived of a chat that changed after it had come: by an edit, or given away by another message.

    An older version of it may be in the stores. Its time is that of the message, which may be years before the change.
    """
    return artifact.modality == CHAT.modality and len(artifact.provenance.event_ids) > 1


def withdraw(artifact: Artifact, reason: str) -> Retraction:
    """Retraction of the version before, with the version of the artifact that is not published."""
    fields = artifact.model_dump(include=set(ArtifactBase.model_fields) - {"kind"})
    return Retraction(**fields, reason=reason)
