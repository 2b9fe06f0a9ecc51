"""The gate: a micro-batch of rows against its contract. Good rows go on, bad ones are named with their reasons.

Pandera costs about the same for one row as for a hundred (4 ms; a thousand take 7 to 10), so rows are judged by the
micro-batch. Calls and screenshots are often judged one by one: their models take a hundred times as long for each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quality.contracts import Limits, contract

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

Row = Mapping[str, Any]


def judge(table: str, rows: Sequence[Row], limits: Limits) -> dict[int, tuple[str, ...]]:
    """Find the rows that break the contract of ``table``.

    Returns:
        Row number → names of the broken rules. An empty mapping means that every row is good.

    Raises:
        KeyError: the table has no contract.
    """
    if not rows:
        return {}
    import pandera.errors as pe

    rules = contract(table, limits)
    frame = _frame(rules.columns, rows)
    try:
        rules.quick.validate(frame)
    except (pe.SchemaError, pe.SchemaErrors):
        return _name(rules.named, frame)
    return {}


def warm_up(table: str, limits: Limits) -> None:
    """Import what judges, and build the contract: 1 s that the first batch would otherwise wait."""
    judge(table, [{}], limits)  # it breaks the rules, so that naming them is warm too


def _name(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> dict[int, tuple[str, ...]]:
    import pandera.errors as pe

    try:
        schema.validate(frame, lazy=True)
    except pe.SchemaErrors as broken:
        return _reasons(broken, frame.height)
    raise AssertionError("the quick schema refused a batch that the named one takes: their rules differ")


def _frame(columns: Mapping[str, Any], rows: Sequence[Row]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame({name: [row.get(name) for row in rows] for name in columns}, schema=dict(columns))


def _reasons(broken: Any, rows: int) -> dict[int, tuple[str, ...]]:
    """Group the failures by row. A failure without a row (a whole column is wrong) is every row's."""
    found: dict[int, list[str]] = defaultdict(list)
    for failure in broken.failure_cases.select("column", "check", "index").iter_rows(named=True):
        places = range(rows) if failure["index"] is None else [failure["index"]]
        for place in places:
            found[place].append(f"{failure['column']}: {failure['check']}")
    return {place: tuple(dict.fromkeys(names)) for place, names in found.items()}
