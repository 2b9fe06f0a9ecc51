"""Profile of an hour of a table: figures shown with its contract, which neither pass nor fail. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from quality.checks.result import RawMetadataValue
from quality.quantiles import quantile
from quality.rows import Row

Profile = dict[str, RawMetadataValue]


def profile_rows(table: str, rows: Sequence[Row]) -> Profile:
    """The figures of a table's rows; empty for a table without a profile, or without rows."""
    return _PROFILES[table](rows) if rows and table in _PROFILES else {}


def silence_share(utterances: Sequence[Row], chunks: Sequence[Row]) -> float | None:
    """The share of the audio of all channels without speech; ``None`` without audio.

    An hour's first utterance may have begun in the hour before: speech beyond the audio counts as no silence.
    """
    audio_s: float = sum(row["duration_s"] * row["channels"] for row in chunks if row["kind"] == "call_chunk")
    if not audio_s:
        return None
    spoken_s: float = sum(row["end_s"] - row["start_s"] for row in utterances if row["status"] != "gap")
    return round(min(max(1 - spoken_s / audio_s, 0.0), 1.0), 4)


def _duplicates(column: str) -> Callable[[Sequence[Row]], Profile]:
    def profile(rows: Sequence[Row]) -> Profile:
        values = [row[column] for row in rows if row[column] is not None]
        return {"duplicate_ratio": round(1 - len(set(values)) / len(values), 4)} if values else {}

    return profile


def _speech(rows: Sequence[Row]) -> Profile:
    utterances = [row for row in rows if row["status"] != "gap"]
    figures: Profile = {"gaps": len(rows) - len(utterances)}
    if utterances:
        confidence = [row["confidence"] for row in utterances]
        languages = Counter(row["language"] or "unknown" for row in utterances)
        figures["confidence_p50"] = round(quantile(confidence, 0.5), 4)
        figures["confidence_p05"] = round(quantile(confidence, 0.05), 4)
        figures["languages"] = {name: round(count / len(utterances), 4) for name, count in languages.most_common()}
    return figures


_PROFILES: Final[dict[str, Callable[[Sequence[Row]], Profile]]] = {
    "raw_chats": _duplicates("text"),
    "raw_calls": _duplicates("blob_sha256"),
    "raw_screenshots": _duplicates("blob_sha256"),
    "messages": _duplicates("text"),
    "transcripts": _speech,
    "captions": _duplicates("content_id"),
    "passages": _duplicates("text"),
}
