"""The contract of each table that the stream writes: its columns, and the rules that its rows keep.

The contracts on events apply before any model runs; the one on passages is the last check before the index; those on
derived rows apply to the tables alone, where a broken row means a broken deriver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quality.contracts.limits import MAX_CALL_S, ContractLimits
from quality.contracts.rules import ContractParts, Rule, event_rules, not_blank, redacted_rules

ROLES: Final = ("customer", "agent", "bot", "system")

UNIT_LENGTH_TOLERANCE: Final = 0.01
"""Float32 and int8 embedders are this close to unit length."""


def _raw_chats(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = event_rules(limits)
    max_chars = limits.max_chat_chars
    return (
        {**columns, "text": pl.String()},
        optional,
        [
            *rules,
            Rule("text", f"text at most {max_chars} characters", lambda: pl.col("text").str.len_chars() <= max_chars),
            Rule("text", "text without NUL", lambda: ~pl.col("text").str.contains("\x00", literal=True)),
            not_blank(),
        ],
    )


def _raw_calls(limits: ContractLimits) -> ContractParts:
    import polars as pl

    def between(column: str, name: str, low: float, high: float) -> Rule:
        return Rule(column, name, lambda: pl.col(column).is_between(low, high))

    columns, _, rules = event_rules(limits)
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

    columns, optional, rules = event_rules(limits)
    max_pixels = limits.max_image_pixels
    small = Rule("width", f"at most {max_pixels} pixels", lambda: pl.col("width") * pl.col("height") <= max_pixels)
    return {**columns, "width": pl.Int64(), "height": pl.Int64()}, optional, [*rules, small]


def _passages(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = event_rules(limits)
    unit = Rule(
        "vector_norm", "vector of unit length", lambda: (pl.col("vector_norm") - 1).abs() < UNIT_LENGTH_TOLERANCE
    )
    return (
        {**columns, "text": pl.String(), "vector_norm": pl.Float64()},
        optional,
        [*rules, not_blank(), *redacted_rules(), unit],
    )


def _messages(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = event_rules(limits)
    role = Rule("role", "a known role", lambda: pl.col("role").is_in(ROLES))
    return {**columns, "text": pl.String(), "role": pl.String()}, optional, [*rules, *redacted_rules(), role]


def _transcripts(limits: ContractLimits) -> ContractParts:
    import polars as pl

    columns, optional, rules = event_rules(limits)
    speech_columns = {"start_s": pl.Float64(), "end_s": pl.Float64(), "confidence": pl.Float64(), "status": pl.String()}
    gap = "gap"
    return (
        {**columns, "text": pl.String(), **speech_columns},
        optional,
        [
            *rules,
            *redacted_rules(),
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
        [*rules, *redacted_rules(), sha256],
    )


BUILDERS: Final[dict[str, Callable[[ContractLimits], ContractParts]]] = {
    "raw_chats": _raw_chats,
    "raw_calls": _raw_calls,
    "raw_screenshots": _raw_screenshots,
    "messages": _messages,
    "transcripts": _transcripts,
    "captions": _captions,
    "passages": _passages,
}
"""Table → its columns, the optional ones among them, and its rules."""

CONTRACTS: Final[tuple[str, ...]] = tuple(BUILDERS)
