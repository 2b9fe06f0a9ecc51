"""The contract of each table that the stream writes, as a Pandera model: types, nullability and checks of its columns.

The contracts on events apply before any model runs; the one on passages is the last check before the index; those on
derived rows apply to the tables alone, where a broken row means a broken deriver. Checks whose limit is a setting are
added in :mod:`quality.contracts.schemas`. Only that module imports this one, when the first batch comes.

Pandera's checks carry an ``error``: it is the reason that a quarantined row and a check of Dagster show, and those of
earlier releases are stored.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import pandera.polars as pa
import polars as pl

from quality.contracts.limits import MAX_CALL_S, MIN_EVENT_TIME, VISIBLE_CHARACTER
from quality.contracts.text_checks import without_card, without_email

ROLES: Final = ("customer", "agent", "bot", "system")
GAP: Final = "gap"
UTTERANCE_STATUSES: Final = ("draft", "final", GAP)

UNIT_LENGTH_TOLERANCE: Final = 0.01
"""Float32 and int8 embedders are this close to unit length."""

Timestamp = Annotated[pl.Datetime, "us", "UTC"]


def _matches(pattern: str, error: str) -> dict[str, Any]:
    return {"str_matches": {"pattern": pattern, "error": error}}


def _between(low: float, high: float, error: str) -> dict[str, Any]:
    return {"in_range": {"min_value": low, "max_value": high, "error": error}}


def _one_of(values: tuple[str, ...], error: str) -> dict[str, Any]:
    return {"isin": {"allowed_values": list(values), "error": error}}


_PRINTABLE: Final[dict[str, Any]] = _matches(r"^[^\x00-\x1f\x7f]*$", "no control characters")
_NOT_BLANK: Final[dict[str, Any]] = {"str_contains": {"pattern": VISIBLE_CHARACTER, "error": "text not blank"}}
_WITHOUT_NUL: Final[dict[str, Any]] = _matches(r"^[^\x00]*$", "text without NUL")


class EventRows(pa.DataFrameModel):
    """Columns that every event and every artifact has."""

    event_id: pl.String = pa.Field(**_PRINTABLE)
    conversation_id: pl.String = pa.Field(**_PRINTABLE)
    subject_id: pl.String = pa.Field(**_PRINTABLE)
    event_time: Timestamp = pa.Field(ge={"min_value": MIN_EVENT_TIME, "error": "event_time after 2000-01-01"})
    ingested_at: Timestamp


class RedactedRows(EventRows):
    """Columns of rows with a redacted text."""

    text: pl.String

    @pa.check("text", error="no card number")
    def _without_card(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805 (Pandera's checks are class methods)
        return data.lazyframe.select(without_card(data.key))

    @pa.check("text", error="no e-mail address")
    def _without_email(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        return data.lazyframe.select(without_email(data.key))


class DerivedRows(RedactedRows):
    """Rows of a table of artifacts: one row for each."""

    event_id: pl.String = pa.Field(unique=True, **_PRINTABLE)


class RawChats(EventRows):
    """Events of chats; a deletion and a redaction have no text."""

    kind: pl.String = pa.Field(nullable=True)
    text: pl.String = pa.Field(nullable=True, **_WITHOUT_NUL, **_NOT_BLANK)


class RawCalls(EventRows):
    """Chunks of calls; the end of a call has no audio columns."""

    duration_s: pl.Float64 = pa.Field(nullable=True)
    start_s: pl.Float64 = pa.Field(nullable=True, **_between(0.0, MAX_CALL_S, "call at most 24 h"))
    channels: pl.Int64 = pa.Field(nullable=True, **_between(1, 8, "1 to 8 channels"))
    sample_rate: pl.Int64 = pa.Field(nullable=True, **_between(4_000, 192_000, "4 to 192 kHz"))


class RawScreenshots(EventRows):
    """Events of screenshots."""

    width: pl.Int64
    height: pl.Int64


class Messages(DerivedRows):
    """Redacted chats."""

    role: pl.String = pa.Field(**_one_of(ROLES, "a known role"))


class Transcripts(DerivedRows):
    """Redacted utterances of calls, and markers of gaps."""

    start_s: pl.Float64
    end_s: pl.Float64
    confidence: pl.Float64 = pa.Field(**_between(0.0, 1.0, "confidence from 0 to 1"))
    status: pl.String = pa.Field(**_one_of(UTTERANCE_STATUSES, "draft, final or gap"))

    @pa.check("text", error="words, or a gap without any")
    def _words_or_gap(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        return data.lazyframe.select((pl.col("text") == "") == (pl.col("status") == GAP))

    @pa.check("end_s", error="ends after it starts")
    def _ends_after_start(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        return data.lazyframe.select(pl.col("end_s") >= pl.col("start_s"))


class Captions(DerivedRows):
    """Redacted captions of screenshots."""

    width: pl.Int64
    height: pl.Int64
    image_sha256: pl.String = pa.Field(**_matches(r"^[0-9a-f]{64}$", "a SHA-256"))


class Passages(RedactedRows):
    """Passages with the length of their vector; a batch of the stream may have several revisions of one."""

    text: pl.String = pa.Field(**_NOT_BLANK)
    vector_norm: pl.Float64 = pa.Field(
        in_range={
            "min_value": 1 - UNIT_LENGTH_TOLERANCE,
            "max_value": 1 + UNIT_LENGTH_TOLERANCE,
            "include_min": False,
            "include_max": False,
            "error": "vector of unit length",
        }
    )


MODELS: Final[dict[str, type[pa.DataFrameModel]]] = {
    "raw_chats": RawChats,
    "raw_calls": RawCalls,
    "raw_screenshots": RawScreenshots,
    "messages": Messages,
    "transcripts": Transcripts,
    "captions": Captions,
    "passages": Passages,
}
"""Table → the model of its rows."""
