"""A contract as Pandera schemas.

Each contract builds two of the same rules. ``quick`` has all of them in one expression, which is enough for nearly
every micro-batch; ``named`` has them one by one, and runs only when ``quick`` fails: Pandera's cost is by the check,
not by the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from quality.contracts.limits import ContractLimits
from quality.contracts.rules import Rule
from quality.contracts.tables import BUILDERS

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl


@dataclass(frozen=True, slots=True)
class Contract:
    """The schemas of one table; see the module's docstring. ``columns`` are those that the rules use."""

    columns: Mapping[str, Any]
    quick: pa.DataFrameSchema
    named: pa.DataFrameSchema


def contract(table: str, limits: ContractLimits) -> Contract:
    """The contract of a table.

    Raises:
        KeyError: the table has no contract.
    """
    return _contract(table, limits)


@cache
def _contract(table: str, limits: ContractLimits) -> Contract:
    import pandera.polars as pa
    import polars as pl

    columns, optional, rules = BUILDERS[table](limits)
    present = [
        Rule(column, "present", lambda c=column: pl.col(c).is_not_null())  # type: ignore[misc]
        for column in columns
        if column not in optional
    ]
    all_rules = [*present, *rules]
    quick = pa.DataFrameSchema(
        {name: pa.Column(kind, nullable=True) for name, kind in columns.items()},
        checks=pa.Check(
            lambda data: data.lazyframe.select(pl.all_horizontal(_condition(rule) for rule in all_rules)),
            name="every rule",
        ),
    )
    named = pa.DataFrameSchema(
        {
            name: pa.Column(kind, [_check(rule) for rule in all_rules if rule.column == name], nullable=True)
            for name, kind in columns.items()
        }
    )
    return Contract(columns, quick, named)


def _condition(rule: Rule) -> pl.Expr:
    """A rule does not apply to an absent value; the rule ``present`` decides whether it may be absent."""
    import polars as pl

    return rule.condition().fill_null(pl.lit(value=True))


def _check(rule: Rule) -> Any:
    import pandera.polars as pa

    return pa.Check(lambda data: data.lazyframe.select(_condition(rule)), name=rule.name, ignore_na=False)
