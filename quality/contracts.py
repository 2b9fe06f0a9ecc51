"""The Pandera contract of each table that the stream writes: the rules that its rows keep, and why.

A contract's rules have plain names; a quarantined row carries those names as its reasons and never a value. The
contracts on events apply before any model runs; the one on passages is the last check before the index; those on
derived rows apply to the tables alone, where a broken row means a broken deriver. The gateway takes its limits from
here, so that an accepted event is not quarantined a moment later.

Each contract builds two Pandera schemas of the same rules. ``quick`` has all of them in one expression, which is enough
for nearly every micro-batch; ``named`` has them one by one, and runs only when ``quick`` fails: Pandera's cost is by
the check, not by the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from quality.card_numbers import CARD_CANDIDATE, contains_card

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

MIN_EVENT_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Before this an event time is a wrong clock (1970 above all), not history."""

MAX_CALL_S: Final = 86_400.0
"""A longer call is a wrong clock."""

VISIBLE_CHARACTER: Final = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""A character that is no white space, spelled out: ``\\s`` differs between Python and Rust."""

ROLES: Final = ("customer", "agent", "bot", "system")

UNIT_LENGTH_TOLERANCE: Final = 0.01
"""Float32 and int8 embedders are this close to unit length."""

EMAIL_PATTERN: Final = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"


@dataclass(frozen=True, slots=True)
class ContractLimits:
    """Limits from the settings; see docs/reference/configuration.md."""

    max_chat_chars: int = 20_000
    max_future_s: float = 300.0
    max_image_pixels: int = 50_000_000
    max_chunk_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on one column."""

    column: str
    name: str
    condition: Callable[[], pl.Expr]


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

    columns, optional, rules = _BUILDERS[table](limits)
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


ContractParts = tuple[dict[str, Any], frozenset[str], list[Rule]]
"""Columns with their types, the optional ones among them, and the rules."""


def _events(limits: ContractLimits) -> ContractParts:
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


def _not_blank() -> Rule:
    import polars as pl

    return Rule("text", "text not blank", lambda: pl.col("text").str.contains(VISIBLE_CHARACTER))


def _raw_chats(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = _events(limits)
    max_chars = limits.max_chat_chars
    return (
        {**columns, "text": pl.String()},
        optional,
        [
            *rules,
            Rule("text", f"text at most {max_chars} characters", lambda: pl.col("text").str.len_chars() <= max_chars),
            Rule("text", "text without NUL", lambda: ~pl.col("text").str.contains("\x00", literal=True)),
            _not_blank(),
        ],
    )


def _raw_calls(limits: ContractLimits) -> ContractParts:
    import polars as pl

    def between(column: str, name: str, low: float, high: float) -> Rule:
        return Rule(column, name, lambda: pl.col(column).is_between(low, high))

    columns, _, rules = _events(limits)
    chunk_columns = {
        "duration_s": pl.Float64(),
        "start_s": pl.Float64(),
        "channels": pl.Int64(),
        "sample_rate": pl.Int64(),
    }
    return (
        columns | chunk_columns,
        frozenset(chunk_columns),  # the end of a call has none of them
        [
            *rules,
            between("duration_s", f"chunk at most {limits.max_chunk_s:g} s", 0.0, limits.max_chunk_s),
            between("start_s", "call at most 24 h", 0.0, MAX_CALL_S),
            between("channels", "1 to 8 channels", 1, 8),
            between("sample_rate", "4 to 192 kHz", 4_000, 192_000),
        ],
    )


def _raw_screenshots(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = _events(limits)
    max_pixels = limits.max_image_pixels
    small = Rule("width", f"at most {max_pixels} pixels", lambda: pl.col("width") * pl.col("height") <= max_pixels)
    return {**columns, "width": pl.Int64(), "height": pl.Int64()}, optional, [*rules, small]


def _redacted() -> list[Rule]:
    """Rules of redacted text."""
    import polars as pl

    return [
        Rule("text", "no card number", lambda: pl.col("text").map_batches(_without_cards, pl.Boolean)),
        Rule("text", "no e-mail address", lambda: ~pl.col("text").str.contains(EMAIL_PATTERN)),
    ]


def _passages(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = _events(limits)
    unit = Rule(
        "vector_norm", "vector of unit length", lambda: (pl.col("vector_norm") - 1).abs() < UNIT_LENGTH_TOLERANCE
    )
    return (
        {**columns, "text": pl.String(), "vector_norm": pl.Float64()},
        optional,
        [*rules, _not_blank(), *_redacted(), unit],
    )


def _messages(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = _events(limits)
    role = Rule("role", "a known role", lambda: pl.col("role").is_in(ROLES))
    return {**columns, "text": pl.String(), "role": pl.String()}, optional, [*rules, *_redacted(), role]


def _transcripts(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = _events(limits)
    speech_columns = {"start_s": pl.Float64(), "end_s": pl.Float64(), "confidence": pl.Float64(), "status": pl.String()}
    gap = "gap"
    return (
        {**columns, "text": pl.String(), **speech_columns},
        optional,
        [
            *rules,
            *_redacted(),
            Rule("status", "draft, final or gap", lambda: pl.col("status").is_in(["draft", "final", gap])),
            Rule("text", "words, or a gap without any", lambda: (pl.col("text") == "") == (pl.col("status") == gap)),
            Rule("end_s", "ends after it starts", lambda: pl.col("end_s") >= pl.col("start_s")),
            Rule("confidence", "confidence from 0 to 1", lambda: pl.col("confidence").is_between(0, 1)),
        ],
    )


def _captions(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = _raw_screenshots(limits)
    sha256 = Rule("image_sha256", "a SHA-256", lambda: pl.col("image_sha256").str.contains(r"^[0-9a-f]{64}$"))
    return (
        {**columns, "text": pl.String(), "image_sha256": pl.String()},
        optional,
        [*rules, *_redacted(), sha256],
    )


def _without_cards(texts: pl.Series) -> pl.Series:
    """Checks row by row only texts with 16 digits that could be a card's."""
    import polars as pl

    candidates = texts.str.contains(CARD_CANDIDATE).fill_null(value=False)
    if not candidates.any():
        return ~candidates
    passed = [not (candidate and contains_card(text)) for text, candidate in zip(texts, candidates, strict=True)]
    return pl.Series(texts.name, passed, pl.Boolean)


_BUILDERS: Final[dict[str, Callable[[ContractLimits], ContractParts]]] = {
    "raw_chats": _raw_chats,
    "raw_calls": _raw_calls,
    "raw_screenshots": _raw_screenshots,
    "messages": _messages,
    "transcripts": _transcripts,
    "captions": _captions,
    "passages": _passages,
}
CONTRACTS: Final[tuple[str, ...]] = tuple(_BUILDERS)
