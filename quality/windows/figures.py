"""Figures of a window: an hour of a table in a few numbers, computed from a few of its columns by Polars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

MIN_ROWS: Final = 50
"""Rows below which a share is not judged: of 50 rows, one is 2%."""

UNKNOWN_LANGUAGE: Final = "unknown"
REDACTION_PATTERN: Final = r"\[[A-Z][A-Z_]+(?: [^\[\]]{1,16})?\]"
"""The replacement of a redacted value, with its tag or its last characters: `[CARD]`, `[PERSON 7f3a]`."""

_OCR_LINES: Final = "record"
_LANGUAGE: Final = "language"


@dataclass(frozen=True, slots=True)
class WindowColumns:
    """The columns that the figures of a table are computed from; an empty name leaves a figure out.

    Attributes:
        filled: columns that should have a value in each row.
        repeated: rows that are equal in all of these repeat each other.
        text: the redacted text.
        confidence: the confidence of the model; ``record`` has those of OCR lines.
        without: a value of ``status`` whose rows have no words.
    """

    repeated: tuple[str, ...]
    filled: tuple[str, ...] = ()
    text: str = ""
    confidence: str = ""
    without: str = ""

    def names(self) -> tuple[str, ...]:
        """The columns to read, but for that of the language."""
        status = ("status",) if self.without else ()
        return tuple(
            name for name in dict.fromkeys((*self.repeated, *self.filled, self.text, self.confidence, *status)) if name
        )


WINDOW_COLUMNS: Final[dict[str, WindowColumns]] = {
    "raw_chats": WindowColumns(repeated=("conversation_id", "text")),
    "raw_calls": WindowColumns(repeated=("conversation_id", "blob_sha256")),
    "raw_screenshots": WindowColumns(repeated=("subject_id", "blob_sha256")),
    "messages": WindowColumns(repeated=("conversation_id", "text"), filled=("text", "role"), text="text"),
    "transcripts": WindowColumns(
        repeated=("conversation_id", "channel", "text"),
        filled=("text", "speaker"),
        text="text",
        confidence="confidence",
        without="gap",
    ),
    "captions": WindowColumns(
        repeated=("subject_id", "content_id"), filled=("text", "content_id"), text="text", confidence=_OCR_LINES
    ),
}
"""Table → the columns of its figures."""


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """The figures of one window; ``None`` where the table has no such figure, or no row for it.

    Attributes:
        volume: rows.
        null_rate: the share of rows without a value, of the column with the highest share.
        duplicate_rate: the share of rows that repeat another.
        redacted_share: the share of texts with a redacted value.
        confidence: the median.
        languages: the share of each language.
    """

    volume: int = 0
    null_rate: float | None = None
    duplicate_rate: float | None = None
    redacted_share: float | None = None
    confidence: float | None = None
    languages: Mapping[str, float] = field(default_factory=dict)


def window_figures(table: str, frame: pl.DataFrame) -> WindowFigures:
    """The figures of the rows of one window.

    Args:
        table: a key of :data:`WINDOW_COLUMNS`.
        frame: the columns of the table's :meth:`WindowColumns.names`, ``language`` where the table has it. A missing
            ``record`` leaves the confidence out.
    """
    import polars as pl

    if frame.is_empty():
        return WindowFigures()
    columns = WINDOW_COLUMNS[table]
    spoken = frame.filter(pl.col("status") != columns.without) if columns.without else frame
    return WindowFigures(
        volume=frame.height,
        null_rate=_null_rate(frame, columns.filled),
        duplicate_rate=_duplicate_rate(spoken, columns.repeated),
        redacted_share=_redacted_share(spoken, columns.text),
        confidence=_confidence(spoken, columns.confidence),
        languages=_languages(spoken),
    )


def _null_rate(frame: pl.DataFrame, names: tuple[str, ...]) -> float | None:
    import polars as pl

    if not names:
        return None
    shares = frame.select((pl.col(name).is_null() | (pl.col(name) == "")).mean() for name in names)
    return float(max(shares.row(0)))


def _duplicate_rate(frame: pl.DataFrame, names: tuple[str, ...]) -> float | None:
    import polars as pl

    rows = (
        frame.select(names).drop_nulls().filter(pl.all_horizontal(pl.col(pl.String) != ""))
    )  # an empty text is a null
    return 1 - rows.n_unique() / rows.height if rows.height else None


def _redacted_share(frame: pl.DataFrame, name: str) -> float | None:
    import polars as pl

    if not name or frame.is_empty():
        return None
    share: float = frame.select(pl.col(name).str.contains(REDACTION_PATTERN).fill_null(value=False).mean()).item()
    return share


def _confidence(frame: pl.DataFrame, name: str) -> float | None:
    import polars as pl

    if name not in frame.columns:
        return None
    values = frame[name]
    if name == _OCR_LINES:
        lines = pl.Struct({"lines": pl.List(pl.Struct({"confidence": pl.Float64}))})
        values = values.str.json_decode(lines).struct.field("lines").explode().struct.field("confidence")
    return values.cast(pl.Float64).median()  # type: ignore[return-value]


def _languages(frame: pl.DataFrame) -> dict[str, float]:
    import polars as pl

    if _LANGUAGE not in frame.columns or frame.is_empty():
        return {}
    named = pl.col(_LANGUAGE).fill_null("").replace("", UNKNOWN_LANGUAGE)
    counts = frame.select(named).to_series().value_counts(sort=True)
    return {name: count / frame.height for name, count in counts.iter_rows()}
