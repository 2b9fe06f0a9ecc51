"""A contract ready to check rows: the Pandera schema of its model, and all of its checks as one query.

Pandera's cost is by the check, not by the row: 8 to 10 ms for a batch of 1 or of 100. So a batch is screened by the
same checks in one Polars query of under 2 ms, and Pandera validates it, lazily, only when a row did not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from quality.contracts.limits import ContractLimits

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

CHATS_WITHOUT_TEXT: Final = ("chat_deleted", "chat_redacted")
CheckFunction = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one table.

    Attributes:
        columns: the columns that it uses, with their types.
        schema: the model's schema, with the checks whose limits are settings.
    """

    columns: Mapping[str, Any]
    schema: pa.DataFrameSchema
    _checks: tuple[tuple[str, CheckFunction], ...]

    def accepts(self, frame: pl.DataFrame) -> bool:
        """True when every row passes every check; ``frame`` has the columns and types of the contract."""
        import polars as pl
        from pandera.api.polars.types import PolarsData

        lazy = frame.lazy()
        passed = [
            run(PolarsData(lazy, column)).select(pl.all_horizontal(pl.all().fill_null(value=True)).alias(f"check {n}"))
            for n, (column, run) in enumerate(self._checks)
        ]
        columns = lazy.select(self._presence())
        return bool(
            pl.concat([columns, *passed], how="horizontal").select(pl.all_horizontal(pl.all()).all()).collect().item()
        )

    def _presence(self) -> Iterator[pl.Expr]:
        """Nullability and uniqueness, which Pandera has no check functions for; NaN counts as null there."""
        import polars as pl

        for name, column in self.schema.columns.items():
            if not column.nullable:
                yield pl.col(name).is_not_null().alias(f"{name} present")
                if self.columns[name].is_float():
                    yield pl.col(name).is_not_nan().fill_null(value=True).alias(f"{name} a number")
            if column.unique:
                yield pl.col(name).is_unique().alias(f"{name} unique")


def contract(table: str, limits: ContractLimits) -> Contract:
    """The contract of a table.

    Raises:
        KeyError: the table has no contract.
    """
    return _contract(table, limits)


@cache
def _contract(table: str, limits: ContractLimits) -> Contract:
    from quality.contracts.models import MODELS

    schema = MODELS[table].to_schema()
    for name, check in _limit_checks(table, limits):
        schema = schema.update_column(name, checks=[*schema.columns[name].checks, check])
    columns = {name: column.dtype.type for name, column in schema.columns.items()}
    return Contract(columns, schema, tuple(_check_functions(schema, columns)))


def _check_functions(schema: pa.DataFrameSchema, columns: Mapping[str, Any]) -> Iterator[tuple[str, CheckFunction]]:
    """The function of each check with its column, as Pandera's own backend calls it."""
    import polars as pl

    empty = pl.LazyFrame(schema=dict(columns))
    for name, column in schema.columns.items():
        for check in column.checks:
            check(empty, name)  # the first call registers Pandera's functions for Polars
            yield name, check.get_backend(empty)(check).check_fn


def _limit_checks(table: str, limits: ContractLimits) -> Iterator[tuple[str, pa.Check]]:
    """The checks whose limits come from the settings, by column."""
    import pandera.polars as pa
    import polars as pl

    max_ahead = timedelta(seconds=limits.max_future_s)
    max_pixels = limits.max_image_pixels
    # By the time of ingestion, not by the current time: a replay must decide as the stream did.
    yield (
        "event_time",
        _condition("event_time not in the future", pl.col("event_time") <= pl.col("ingested_at") + max_ahead),
    )
    if table == "raw_chats":
        error = f"text at most {limits.max_chat_chars} characters"
        yield "text", pa.Check.str_length(max_value=limits.max_chat_chars, error=error)
        without_text = pl.col("kind").is_in(CHATS_WITHOUT_TEXT).fill_null(value=False)
        yield "text", _condition("present", pl.col("text").is_not_null() | without_text, ignore_na=False)
    if table == "raw_calls":
        yield "duration_s", pa.Check.in_range(0.0, limits.max_chunk_s, error=f"chunk at most {limits.max_chunk_s:g} s")
    if table in {"raw_screenshots", "captions"}:
        small = pl.col("width") * pl.col("height") <= max_pixels
        yield "width", _condition(f"at most {max_pixels} pixels", small)


def _condition(name: str, condition: pl.Expr, *, ignore_na: bool = True) -> pa.Check:
    """A check over several columns, which Pandera has no own one for."""
    import pandera.polars as pa

    return pa.Check(lambda data: data.lazyframe.select(condition), name=name, ignore_na=ignore_na)
