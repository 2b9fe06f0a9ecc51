"""Figures that say how an hour of a table looks, shown beside its contract: nothing here passes or fails. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from quality.checks.verdict import Figure
from quality.quantiles import quantile

Row = Mapping[str, Any]


def statistics(table: str, rows: Sequence[Row]) -> dict[str, Figure]:
    """The figures of a table's rows; none of a table that has none, or of no rows."""
    return _OF[table](rows) if rows and table in _OF else {}


def share_of_silence(utterances: Sequence[Row], chunks: Sequence[Row]) -> float | None:
    """The share of the audio, all channels, in which nobody spoke; ``None`` where there is no audio.

    An hour's first utterance may have begun in the hour before: what is beyond the audio counts as no silence.
    """
    audio_s: float = sum(row["duration_s"] * row["channels"] for row in chunks if row["kind"] == "call_chunk")
    if not audio_s:
        return None
    spoken_s: float = sum(row["end_s"] - row["start_s"] for row in utterances if row["status"] != "gap")
    return round(min(max(1 - spoken_s / audio_s, 0.0), 1.0), 4)


def _repeats(column: str) -> Callable[[Sequence[Row]], dict[str, Figure]]:
    def found(rows: Sequence[Row]) -> dict[str, Figure]:
        values = [row[column] for row in rows if row[column] is not None]
        return {"duplicate_ratio": round(1 - len(set(values)) / len(values), 4)} if values else {}

    return found


def _speech(rows: Sequence[Row]) -> dict[str, Figure]:
    heard = [row for row in rows if row["status"] != "gap"]
    figures: dict[str, Figure] = {"gaps": len(rows) - len(heard)}
    if heard:
        confidence = [row["confidence"] for row in heard]
        languages = Counter(row["language"] or "unknown" for row in heard)
        figures["confidence_p50"] = round(quantile(confidence, 0.5), 4)
        figures["confidence_p05"] = round(quantile(confidence, 0.05), 4)
        figures["languages"] = {name: round(count / len(heard), 4) for name, count in languages.most_common()}
    return figures


def _images(rows: Sequence[Row]) -> dict[str, Figure]:
    again = sum(row["duplicate_of"] is not None for row in rows)
    return {"duplicate_ratio": round(again / len(rows), 4)}


_OF: Final[dict[str, Callable[[Sequence[Row]], dict[str, Figure]]]] = {
    "raw_chats": _repeats("text"),
    "raw_calls": _repeats("blob_sha256"),
    "raw_screenshots": _repeats("blob_sha256"),
    "messages": _repeats("text"),
    "transcripts": _speech,
    "captions": _images,
    "passages": _repeats("text"),
}
