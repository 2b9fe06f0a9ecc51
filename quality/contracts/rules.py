"""Rules that several tables share: those on the fields of every event, on texts, and on redacted texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from quality.card_numbers import CARD_CANDIDATE, contains_card
from quality.contracts.limits import MIN_EVENT_TIME, VISIBLE_CHARACTER, ContractLimits

if TYPE_CHECKING:
    import polars as pl

EMAIL_PATTERN: Final = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on one column."""

    column: str
    name: str
    condition: Callable[[], pl.Expr]


ContractParts = tuple[dict[str, Any], frozenset[str], list[Rule]]
"""Columns with their types, the optional ones among them, and the rules."""


def event_rules(limits: ContractLimits) -> ContractParts:
    """Columns and rules of the fields that every event has."""
    import polars as pl

    def visible(column: str) -> Rule:
        return Rule(column, "no control characters", lambda: ~pl.col(column).str.contains(r"[\x00-\x1f\x7f]"))

    ids = ("event_id", "conversation_id", "subject_id")
    rules = [
        *(visible(column) for column in ids),
        Rule(
            "event_time",
            "event_time not in the future",
            # By the time of ingestion, not by the current time: a replay must decide as the stream did.
            lambda: pl.col("event_time") <= pl.col("ingested_at") + timedelta(seconds=limits.max_future_s),
        ),
        Rule("event_time", "event_time after 2000-01-01", lambda: pl.col("event_time") >= MIN_EVENT_TIME),
    ]
    timestamp = pl.Datetime("us", "UTC")
    return {**dict.fromkeys(ids, pl.String()), "event_time": timestamp, "ingested_at": timestamp}, frozenset(), rules


def not_blank() -> Rule:
    """The text has a visible character."""
    import polars as pl

    return Rule("text", "text not blank", lambda: pl.col("text").str.contains(VISIBLE_CHARACTER))


def redacted_rules() -> list[Rule]:
    """Rules of redacted text."""
    import polars as pl

    return [
        Rule("text", "no card number", lambda: pl.col("text").map_batches(_without_cards, pl.Boolean)),
        Rule("text", "no e-mail address", lambda: ~pl.col("text").str.contains(EMAIL_PATTERN)),
    ]


def _without_cards(texts: pl.Series) -> pl.Series:
    """Checks row by row only texts with 16 digits that could be a card's."""
    import polars as pl

    candidates = texts.str.contains(CARD_CANDIDATE).fill_null(value=False)
    if not candidates.any():
        return ~candidates
    passed = [not (candidate and contains_card(text)) for text, candidate in zip(texts, candidates, strict=True)]
    return pl.Series(texts.name, passed, pl.Boolean)
