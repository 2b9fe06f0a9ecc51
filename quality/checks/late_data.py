"""What the stream still owes for an hour that got rows after it had closed. Pure.

Late rows are derived by the stream like any others, and a run that derives the hour again folds them in the same order
and comes to the same rows. So a run is for what the stream did not make: an event of which nothing became although its
deriver has read past it, or a mark of missing audio that stands although the audio has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from quality.checks.verdict import Verdict

Row = Mapping[str, Any]

_TOUCH_S: Final = 0.05
"""Borders of a mark are cut at samples: what overlaps less than this is beside it."""


def unfilled(marks: Iterable[Row], chunks: Iterable[Row]) -> list[str]:
    """Ids of the marks of missing audio over which there is audio.

    Args:
        marks: rows of ``transcripts`` that are marks (``artifact_id``, ``conversation_id``, ``start_s``, ``end_s``).
        chunks: rows of ``raw_calls`` (``conversation_id``, ``start_s``, ``duration_s``, both empty for an end).
    """
    there: dict[str, list[tuple[float, float]]] = {}
    for chunk in chunks:
        if chunk["duration_s"]:
            stretch = (chunk["start_s"], chunk["start_s"] + chunk["duration_s"])
            there.setdefault(chunk["conversation_id"], []).append(stretch)
    return sorted(
        str(mark["artifact_id"])
        for mark in marks
        if any(
            _overlap((mark["start_s"], mark["end_s"]), each) > _TOUCH_S
            for each in there.get(mark["conversation_id"], ())
        )
    )


def owes(accounted: Verdict, standing: Iterable[str]) -> bool:
    """Whether a run has something to make: an event became nothing, or a mark stands over audio that is there."""
    return bool(accounted.figures.get("missing")) or any(standing)


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    return min(one[1], other[1]) - max(one[0], other[0])
