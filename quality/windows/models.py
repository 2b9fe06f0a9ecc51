"""Limits of the figures of a window, as Pandera models over a frame with one row.

A limit is calm: it is broken by a fault and not by an unusual hour, which is the business of ``drift``.
"""

from __future__ import annotations

from typing import Final

import pandera.polars as pa
import polars as pl

# A window without the figure keeps the limit.
_MAX_OWN_WORDS_REPEATED: Final = 0.5
"""Half of an hour's messages or utterances repeat others of their conversation: a source or a model that loops."""

_MAX_IMAGES_REPEATED: Final = 0.98
"""An idle screen repeats itself for minutes; a whole hour of one picture is a source that hangs."""


class RawChatsWindow(pa.DataFrameModel):
    """Chats as they came."""

    duplicate_rate: pl.Float64 = pa.Field(nullable=True, le=_MAX_OWN_WORDS_REPEATED)


class RawCallsWindow(pa.DataFrameModel):
    """Chunks of calls; two silent ones have the same bytes, and a muted line is silent for minutes."""

    duplicate_rate: pl.Float64 = pa.Field(nullable=True, le=0.9)


class RawScreenshotsWindow(pa.DataFrameModel):
    """Screenshots as they came."""

    duplicate_rate: pl.Float64 = pa.Field(nullable=True, le=_MAX_IMAGES_REPEATED)


class MessagesWindow(pa.DataFrameModel):
    """Redacted chats; an empty one has lost its words, and one in ten stays readable only in the raw vault."""

    null_rate: pl.Float64 = pa.Field(nullable=True, le=0.1)
    duplicate_rate: pl.Float64 = pa.Field(nullable=True, le=_MAX_OWN_WORDS_REPEATED)
    redacted_share: pl.Float64 = pa.Field(nullable=True, le=0.95)


class TranscriptsWindow(pa.DataFrameModel):
    """Utterances and gap markers; half of them without words is a line or a model that has failed.

    Words of clear speech have a median confidence of 0.8 to 0.95; below 0.4 the model guesses.
    """

    null_rate: pl.Float64 = pa.Field(nullable=True, le=0.5)
    duplicate_rate: pl.Float64 = pa.Field(nullable=True, le=_MAX_OWN_WORDS_REPEATED)
    redacted_share: pl.Float64 = pa.Field(nullable=True, le=0.95)
    confidence: pl.Float64 = pa.Field(nullable=True, ge=0.4)


class CaptionsWindow(pa.DataFrameModel):
    """Captions of screenshots; OCR drops a line below 0.5, so a median below 0.6 is near the floor."""

    null_rate: pl.Float64 = pa.Field(nullable=True, le=0.1)
    duplicate_rate: pl.Float64 = pa.Field(nullable=True, le=_MAX_IMAGES_REPEATED)
    redacted_share: pl.Float64 = pa.Field(nullable=True, le=0.98)
    confidence: pl.Float64 = pa.Field(nullable=True, ge=0.6)


WINDOW_MODELS: Final[dict[str, type[pa.DataFrameModel]]] = {
    "raw_chats": RawChatsWindow,
    "raw_calls": RawCallsWindow,
    "raw_screenshots": RawScreenshotsWindow,
    "messages": MessagesWindow,
    "transcripts": TranscriptsWindow,
    "captions": CaptionsWindow,
}
