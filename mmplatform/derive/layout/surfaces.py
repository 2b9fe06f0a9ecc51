"""Pixels behind the text → the surfaces of a screen: page, dialog, panel, button.

Every line of text lies on a patch of even colour. A flood fill from a pixel next to the letters finds that patch, and
its outline classifies it. A button fits tightly round one short centred line; a dialog is light on a dimmed page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmplatform.derive.layout.reading_order import contains_centre
from mmplatform.locators import Box
from mmplatform.ports import RecognisedLine, RgbImage

_COLOUR_TOLERANCE: Final = 6
"""Per colour channel: above JPEG's noise on even ground, below the step to a hairline border."""
_MIN_DIMMING: Final = 25.0
_LUMA: Final = np.array([0.299, 0.587, 0.114])
_MAX_SEEDS: Final = 4
_MAX_BUTTON_WORDS: Final = 6


@dataclass(frozen=True, slots=True)
class Surface:
    """A patch of even colour.

    Attributes:
        box: its outline, pixels.
        area: pixels that have its colour; text and nested patches do not count.
        colour: red, green, blue.
        lines: indices of the lines that lie directly on it.
    """

    box: Box
    area: int
    colour: tuple[int, int, int]
    lines: tuple[int, ...]

    @property
    def luma(self) -> float:
        """Brightness, 0 to 255."""
        return float(np.dot(self.colour, _LUMA))

    @property
    def tinted(self) -> bool:
        """Check for a clear colour, not grey."""
        return max(self.colour) - min(self.colour) > 12  # noqa: PLR2004 — steps of 255


def find_surfaces(image: RgbImage, lines: Sequence[RecognisedLine]) -> list[Surface]:
    """Find the patches behind the lines, ordered by the first line on each. Lines too small to sample are left out."""
    labels = np.full(image.shape[:2], -1, dtype=np.int32)
    found: list[tuple[Box, int, tuple[int, int, int]]] = []
    members: list[list[int]] = []
    for i, line in enumerate(lines):
        for x, y in _seeds(image, line.box):
            label = int(labels[y, x])
            if label < 0:
                patch = _flood(image, x, y)
                if patch is None or patch[1].sum() < 0.3 * _area(line.box):
                    continue  # the inside of a letter, most likely
                box, mask = patch
                label = len(found)
                window = labels[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
                window[mask] = label
                red, green, blue = (int(value) for value in image[y, x])
                found.append((box, int(mask.sum()), (red, green, blue)))
                members.append([])
            members[label].append(i)
            break
    return [Surface(*patch, tuple(on)) for patch, on in zip(found, members, strict=True)]


def find_buttons(surfaces: Sequence[Surface], lines: Sequence[RecognisedLine]) -> list[int]:
    """Find the indices of button labels, in the order of ``lines``."""
    return sorted(
        surface.lines[0]
        for surface in surfaces
        if len(surface.lines) == 1 and _is_button(surface, lines[surface.lines[0]])
    )


def find_overlay(image: RgbImage, surfaces: Sequence[Surface]) -> Box | None:
    """Find the box of a dialog over a dimmed page, or None."""
    size = image.shape[0] * image.shape[1]
    candidates = [s for s in surfaces if _may_be_dialog(s, image.shape[0], image.shape[1])]
    step = max(1, int((size / 200_000) ** 0.5))
    luma = image[::step, ::step] @ _LUMA
    for surface in sorted(candidates, key=lambda s: _area(s.box), reverse=True):
        outside = np.ones(luma.shape, dtype=bool)
        box = surface.box
        outside[int(box.y0) // step : -int(-box.y1 // step), int(box.x0) // step : -int(-box.x1 // step)] = False
        if not outside.any():
            continue
        around = luma[outside]
        # Nearly nothing outside may be as light as the dialog, and the page must not be plain black.
        brightest, usual = (float(value) for value in np.percentile(around, (99, 50)))
        if brightest <= surface.luma - _MIN_DIMMING and usual >= 20:  # noqa: PLR2004 — black: a letterbox, no page
            return box
    return None


def font_size(image: RgbImage, line: RecognisedLine) -> float:
    """Estimate the letter size in pixels from the rows with ink; the height of the box is too coarse."""
    patch = _crop(image, line.box)
    if patch.size == 0:
        return 0.0
    background = np.median(patch.reshape(-1, 3), axis=0)
    ink = (np.abs(patch.astype(np.int16) - background).max(axis=2) > 50).any(axis=1)  # noqa: PLR2004 — visible contrast
    height = _max_run_length(ink)
    if height >= patch.shape[0]:
        height = round(0.6 * patch.shape[0])  # a border or a picture runs through the box: no letters to measure
    tall = any(c.isupper() or c.isdigit() or c in "bdfhklit" for c in line.text)
    deep = any(c in "gjpqy,;()$Q" for c in line.text)
    return height / ((0.73 if tall else 0.53) + (0.21 if deep else 0.0))


def _may_be_dialog(surface: Surface, height: int, width: int) -> bool:
    """Check for a size that holds a message but is not the page, nor a strip (a title bar, a banner)."""
    box, size = surface.box, height * width
    high_enough = box.y1 - box.y0 > 0.12 * height and box.x1 - box.x0 > 0.12 * width
    return high_enough and 0.02 * size < _area(box) < 0.9 * size and surface.area > 0.35 * _area(box)


def _is_button(surface: Surface, line: RecognisedLine) -> bool:
    text, box = line.box, surface.box
    words = line.text.split()
    letters = sum(c.isalpha() for c in line.text)
    if not 1 <= len(words) <= _MAX_BUTTON_WORDS or letters < 2 or line.text.endswith((".", ":")):  # noqa: PLR2004 — an icon
        return False
    height, width = box.y1 - box.y0, box.x1 - box.x0
    left, right = text.x0 - box.x0, box.x1 - text.x1
    centred = abs(left - right) <= max(0.15 * width, 6.0) and min(left, right) > -0.1 * width
    tall_enough = 1.2 * (text.y1 - text.y0) <= height <= 4.0 * (text.y1 - text.y0)
    return centred and tall_enough and width >= 1.5 * height and surface.area > 0.4 * _area(box)


def _seeds(image: RgbImage, box: Box) -> list[tuple[int, int]]:
    """Find up to four points ``(x, y)`` inside the line's box that have the background colour."""
    patch = _crop(image, box)
    if patch.size == 0:
        return []
    coarse = (patch >> 3).astype(np.int32)
    packed = (coarse[..., 0] << 10) | (coarse[..., 1] << 5) | coarse[..., 2]
    values, counts = np.unique(packed, return_counts=True)
    ys, xs = np.nonzero(packed == values[counts.argmax()])
    # From the rim inwards: the middle may be enclosed by a letter.
    height, width = packed.shape
    depth = np.minimum.reduce([ys, xs, height - 1 - ys, width - 1 - xs])
    chosen = np.argsort(depth, kind="stable")
    picks = chosen[np.linspace(0, max(0, len(chosen) // 4), _MAX_SEEDS).astype(int)]
    x0, y0 = max(0, int(box.x0)), max(0, int(box.y0))
    return [(x0 + int(xs[k]), y0 + int(ys[k])) for k in picks]


def _flood(image: RgbImage, x: int, y: int) -> tuple[Box, npt.NDArray[np.bool_]] | None:
    """Flood the patch around a point; return its box and the mask of its pixels within that box."""
    import cv2

    height, width = image.shape[:2]
    mask = np.zeros((height + 2, width + 2), dtype=np.uint8)
    flags: Any = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (255 << 8)
    spread = (_COLOUR_TOLERANCE,) * 3
    area, _, mask, (left, top, wide, high) = cv2.floodFill(image, mask, (x, y), (0, 0, 0), spread, spread, flags)
    if not area:
        return None
    inside = mask[top + 1 : top + 1 + high, left + 1 : left + 1 + wide] == 255  # noqa: PLR2004 — the flag's value
    return Box(x0=left, y0=top, x1=left + wide, y1=top + high), inside


def _crop(image: RgbImage, box: Box) -> RgbImage:
    return image[max(0, int(box.y0)) : max(0, int(box.y1)), max(0, int(box.x0)) : max(0, int(box.x1))]


def _area(box: Box) -> float:
    return max(0.0, box.x1 - box.x0) * max(0.0, box.y1 - box.y0)


def _max_run_length(flags: npt.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.view(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def lines_in(box: Box, lines: Sequence[RecognisedLine]) -> list[int]:
    """Find the indices of the lines whose centre lies in a box."""
    return [i for i, line in enumerate(lines) if contains_centre(box, line.box)]
