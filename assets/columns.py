"""The columns that the UI shows for each asset: the Iceberg table's own, described in the words of the records."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from pydantic import BaseModel

from mmplatform.land.schemas import SPECS

_WORDS = {
    "topic": "where on the replay log the record lies",
    "topic_partition": "where on the replay log the record lies",
    "log_offset": "where on the replay log the record lies",
    "record": "the whole record as JSON; it can be rebuilt from here",
}
"""Of columns that no record has."""


def column_schema(table: str, records: Iterable[type[BaseModel]]) -> dg.TableSchema:
    """The columns of a table; what a field of ``records`` says of itself describes the column of its name.

    Raises:
        KeyError: there is no such table.
    """
    spec = SPECS[table]
    words = _WORDS | {name: text for record in records for name, text in _described(record)}
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=kind,
                description=words.get(name),
                constraints=dg.TableColumnConstraints(unique=name == spec.id_column),
            )
            for name, kind in spec.columns
        ]
    )


def _described(record: type[BaseModel]) -> Iterable[tuple[str, str]]:
    """Descriptions of a record's fields, and of the fields of the records in it."""
    for name, field in record.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _described(field.annotation)
        if field.description:
            yield name, field.description
