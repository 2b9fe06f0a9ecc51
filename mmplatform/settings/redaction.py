"""Redaction: which policy says what takes the place of personal data."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class RedactionSettings(BaseModel):
    """Redaction."""

    redaction_policy: Path | None = Field(
        default=None,
        description=(
            "File of the [redaction policy](redaction-policy.md); empty: the built-in one, which names each value's "
            "kind."
        ),
    )
