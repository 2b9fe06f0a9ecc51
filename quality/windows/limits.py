"""The limit of a figure, and whether a window breaks it; :mod:`quality.windows.models` has the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quality.windows.figures import WindowFigures

LIMITED_FIGURES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("raw_chats", "raw_calls", "raw_screenshots"), ("duplicate_rate",)),
    "messages": ("null_rate", "duplicate_rate", "redacted_share"),
    **dict.fromkeys(("transcripts", "captions"), ("null_rate", "duplicate_rate", "redacted_share", "confidence")),
}
"""Table → its figures with a limit, for those who must not import Pandera."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of a figure; ``text`` words it: ``at most 0.5``."""

    broken: bool
    text: str
    value: float


def check_limits(table: str, figures: WindowFigures) -> dict[str, Limit]:
    """The limits of a table by figure; Pandera validates a frame with one row, lazily."""
    import pandera.errors as pe
    import polars as pl

    from quality.windows.models import WINDOW_MODELS

    schema = WINDOW_MODELS[table].to_schema()
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    frame = pl.DataFrame({name: [getattr(figures, name)] for name in types}, schema=types)
    broken: set[str] = set()
    try:
        schema.validate(frame, lazy=True)
    except pe.SchemaErrors as error:
        broken = set(error.failure_cases["column"])
    return {name: _limit(column.checks[0].statistics, broken=name in broken) for name, column in schema.columns.items()}


def _limit(statistics: Mapping[str, float], *, broken: bool) -> Limit:
    if "max_value" in statistics:
        return Limit(broken, f"at most {statistics['max_value']:g}", statistics["max_value"])
    return Limit(broken, f"at least {statistics['min_value']:g}", statistics["min_value"])
