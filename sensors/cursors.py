"""What a sensor remembers between ticks. It lies in Dagster's database and survives restarts."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Remembered(BaseModel):
    """The base of the sensors' cursors; each has a ``version``, and its fields have defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read it; one that cannot be read (of another version) begins anew, which at worst tells once more."""
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError:
            return cls()
