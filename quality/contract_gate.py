"""The contract gate: checks a micro-batch of rows against the contract of its table and names the broken rules.

A batch costs about the same for one row as for a hundred, so rows are checked by the micro-batch. Calls and
screenshots often come one by one: their models take a hundred times as long for each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from quality.contracts import ContractLimits, contract
from quality.rows import Row

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

_STORED_NAMES: Final = {"not_nullable": "present", "field_uniqueness": "unique"}
"""Pandera's names of nullability and uniqueness → those in the reasons of stored quarantine rows."""


def find_violations(table: str, rows: Sequence[Row], limits: ContractLimits) -> dict[int, tuple[str, ...]]:
    """Find the rows that break the contract of ``table``.

    Returns:
        Row number → names of the broken rules. An empty mapping means that every row is good.

    Raises:
        KeyError: the table has no contract.
    """
    if not rows:
        return {}
    rules = contract(table, limits)
    frame = _frame(rules.columns, rows)
    return {} if rules.accepts(frame) else _broken_rules(rules.schema, frame)


def warm_up(table: str, limits: ContractLimits) -> None:
    """Import Pandera and build the contract: 1 s that the first batch would otherwise wait."""
    find_violations(
        table, [{}], limits
    )  # an empty row breaks the rules, so that Pandera's lazy validation is loaded too


def _broken_rules(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> dict[int, tuple[str, ...]]:
    import pandera.errors as pe

    try:
        schema.validate(frame, lazy=True)
    except pe.SchemaErrors as error:
        return _rules_by_row(error, frame.height)
    raise AssertionError("the screening refused a batch that Pandera accepts: their checks differ")


def _frame(columns: Mapping[str, Any], rows: Sequence[Row]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame({name: [row.get(name) for row in rows] for name in columns}, schema=dict(columns))


def _rules_by_row(error: Any, rows: int) -> dict[int, tuple[str, ...]]:
    """Group the failures by row. A failure without a row (a whole column is wrong) belongs to every row."""
    rules: dict[int, list[str]] = defaultdict(list)
    for failure in error.failure_cases.select("column", "check", "index").iter_rows(named=True):
        numbers = range(rows) if failure["index"] is None else [failure["index"]]
        check = _STORED_NAMES.get(failure["check"], failure["check"])
        for number in numbers:
            rules[number].append(f"{failure['column']}: {check}")
    return {number: tuple(dict.fromkeys(names)) for number, names in rules.items()}
