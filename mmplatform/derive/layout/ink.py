"""Ink without a line of text: single words on an empty screen, which the text detector misses.

PP-OCR's detector finds a word of 24 px on a page of words, and does not find it alone on 1920 by 1080 px. There is
little ink on such a screen, so each stretch of it can be given to the recogniser as a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from mmplatform.locators import Box
from mmplatform.ports import RecognisedLine, RgbImage

_MIN_STEP: Final = 40
"""Difference between neighbouring pixels, of 255, that is an edge of a letter."""

_WORD_GAP: Final = 17
_LINE_GAP: Final = 3
_MIN_HEIGHT: Final = 7
_MAX_HEIGHT: Final = 90
_MIN_WIDTH: Final = 10
_MAX_STRETCHES: Final = 40
"""More than a sparse screen has: then it is a picture."""

_MARGIN: Final = 4
_MIN_STROKES: Final = 3
"""Strokes that a row of pixels crosses; a frame and a filled patch have two."""


def find_ink(image: RgbImage, lines: Sequence[RecognisedLine]) -> list[Box]:
    """Find stretches of ink of the shape of a line that no line covers; none in a picture full of them."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), dtype=np.uint8)) > _MIN_STEP
    for line in lines:
        box = line.box
        edges[max(0, int(box.y0) - _MARGIN) : int(box.y1) + _MARGIN, max(0, int(box.x0)) : int(box.x1) + 1] = False
    kernel = np.ones((_LINE_GAP, _WORD_GAP), dtype=np.uint8)
    joined = cv2.morphologyEx(edges.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    height, width = image.shape[:2]
    found: list[Box] = []
    for label, (left, top, wide, high, _) in enumerate(stats[1:].tolist(), 1):
        is_line = _MIN_HEIGHT <= high <= _MAX_HEIGHT and wide >= max(_MIN_WIDTH, high)
        area = slice(top, top + high), slice(left, left + wide)
        # Its own ink alone: a frame encloses that of the words in it.
        if is_line and _has_letters(edges[area] & (labels[area] == label)):
            found.append(
                Box(
                    x0=max(0, left - _MARGIN),
                    y0=max(0, top - _MARGIN),
                    x1=min(width, left + wide + _MARGIN),
                    y1=min(height, top + high + _MARGIN),
                )
            )
    return found if len(found) <= _MAX_STRETCHES else []


def _has_letters(edges: npt.NDArray[np.bool_]) -> bool:
    starts = edges[:, 1:] & ~edges[:, :-1]
    return int((starts.sum(axis=1) + edges[:, 0]).max()) >= _MIN_STROKES
