"""Decides whether an hour that received late rows must be reprocessed. Pure.

The stream derives late rows like any others, and a run over the hour folds them in the same order and yields the same
rows. So a run is only needed for rows that the stream did not produce: an event without an artifact although its
deriver has read past it, or a gap marker over audio that has arrived since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from quality.checks.result import CheckResult
from quality.rows import Row

_MIN_OVERLAP_S: Final = 0.05
"""Borders of a gap marker are cut at samples: a smaller overlap means that the audio lies next to it."""


def filled_gap_markers(gap_markers: Iterable[Row], chunks: Iterable[Row]) -> list[str]:
    """Ids of the gap markers over which audio has arrived.

    Args:
        gap_markers: rows of ``transcripts`` (``artifact_id``, ``conversation_id``, ``start_s``, ``end_s``).
        chunks: rows of ``raw_calls`` (``conversation_id``, ``start_s``, ``duration_s``, both empty for an end).
    """
    audio: dict[str, list[tuple[float, float]]] = {}
    for chunk in chunks:
        if chunk["duration_s"]:
            span = (chunk["start_s"], chunk["start_s"] + chunk["duration_s"])
            audio.setdefault(chunk["conversation_id"], []).append(span)
    return sorted(
        str(marker["artifact_id"])
        for marker in gap_markers
        if any(
            _overlap_s((marker["start_s"], marker["end_s"]), span) > _MIN_OVERLAP_S
            for span in audio.get(marker["conversation_id"], ())
        )
    )


def needs_reprocessing(accounted: CheckResult, filled_markers: Iterable[str]) -> bool:
    """True when an event has no artifact, or a gap marker lies over audio that has arrived."""
    return bool(accounted.metadata.get("missing")) or any(filled_markers)


def _overlap_s(first: tuple[float, float], second: tuple[float, float]) -> float:
    return min(first[1], second[1]) - max(first[0], second[0])
