"""Cursors: the state of a sensor between ticks. They lie in Dagster's database as JSON and survive restarts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class FrozenRecord(BaseModel):
    """Base of the records of sensors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SensorCursor(FrozenRecord):
    """Base of the cursors; each has a ``version``, and all of its fields have defaults."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Parse a cursor. An unreadable one (of another version) starts again, which at worst reports once more."""
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError:
            return cls()

    def to_json(self) -> str:
        """The text that :meth:`parse` reads."""
        return self.model_dump_json(by_alias=True)


class StateCursor(SensorCursor):
    """Base of the cursors of state changes: for each modality, whether its check passed when it was last reported."""

    model_config = ConfigDict(populate_by_name=True)

    version: Literal[1] = 1
    passed: dict[str, bool] = Field(default_factory=dict)


class TablePosition(FrozenRecord):
    """Position of a reader in a table: after the commit with this sequence number."""

    table_uuid: str
    sequence: int


class TablesCursor(SensorCursor):
    """Base of the cursors that follow the commits of tables."""

    tables: Mapping[str, TablePosition] = Field(default_factory=dict)

    def read_sequence(self, table: str) -> dict[str, int]:
        """The sequence number that was read last, by table uuid: a new table of an old name is read from its start."""
        position = self.tables.get(table)
        return {} if position is None else {position.table_uuid: position.sequence}
