"""What a sensor remembers between ticks. It lies in Dagster's database and survives restarts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Frozen(BaseModel):
    """The base of what sensors remember and tell."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Remembered(Frozen):
    """The base of the sensors' cursors; each has a ``version``, and its fields have defaults."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read it; one that cannot be read (of another version) begins anew, which at worst tells once more."""
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError:
            return cls()


class ReadTo(Frozen):
    """How far a table was read: up to the commit with this sequence number."""

    table_uuid: str
    sequence: int


class ReadTables(Remembered):
    """The base of the cursors that follow the commits of tables."""

    tables: Mapping[str, ReadTo] = Field(default_factory=dict)

    def after(self, table: str) -> dict[str, int]:
        """How far the table was read, by its uuid: a new table of an old name is read from its beginning."""
        place = self.tables.get(table)
        return {} if place is None else {place.table_uuid: place.sequence}
