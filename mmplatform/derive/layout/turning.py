"""Lines of an image that lies on its side or head: noticed by their shape and confidence, and mapped back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mmplatform.locators import Box
from mmplatform.ports import RecognisedLine

_MIN_CHARS: Final = 4
"""Shorter lines are as tall as wide."""

_TALL: Final = 1.5
_MIN_TALL_SHARE: Final = 0.5
_CLEAR_CONFIDENCE: Final = 0.9
"""Lines of a screen have .95 and more; upside down they have .75 to .85."""

_BASE_CONFIDENCE: Final = 0.7
_MIN_GAIN: Final = 1.3


def turns_to_try(lines: Sequence[RecognisedLine]) -> tuple[int, ...]:
    """List the quarter turns, counterclockwise, that may make lines readable; none where they are."""
    long = [line for line in lines if len(line.text) >= _MIN_CHARS]
    chars = sum(len(line.text) for line in long)
    if not chars:
        return ()
    if sum(len(line.text) for line in long if _is_tall(line)) > _MIN_TALL_SHARE * chars:
        return 1, 3
    confidence = sum(line.confidence * len(line.text) for line in long) / chars
    return (2,) if confidence < _CLEAR_CONFIDENCE else ()


def is_more_legible(lines: Sequence[RecognisedLine], than: Sequence[RecognisedLine]) -> bool:
    """Check that lines have clearly more confident text that runs from left to right."""
    return _legible(lines) > _MIN_GAIN * _legible(than)


def turn_back(line: RecognisedLine, turns: int, width: int, height: int) -> RecognisedLine:
    """Map a line of an image turned by ``numpy.rot90(image, turns)`` to the image, of ``width`` and ``height``."""
    x0, y0, x1, y1 = line.box.x0, line.box.y0, line.box.x1, line.box.y1
    for size in {1: (width,), 2: (height, width), 3: (width, height, width)}[turns]:
        x0, y0, x1, y1 = size - y1, x0, size - y0, x1
    return RecognisedLine(line.text, Box(x0=x0, y0=y0, x1=x1, y1=y1), line.confidence)


def _legible(lines: Sequence[RecognisedLine]) -> float:
    return sum(
        len(line.text) * max(0.0, line.confidence - _BASE_CONFIDENCE)
        for line in lines
        if len(line.text) >= _MIN_CHARS and not _is_tall(line)
    )


def _is_tall(line: RecognisedLine) -> bool:
    return line.box.y1 - line.box.y0 > _TALL * (line.box.x1 - line.box.x0)
