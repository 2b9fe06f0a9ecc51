"""Boxes of a turned image, mapped back by the same turn that numpy makes."""

from __future__ import annotations

import numpy as np
import pytest

from mmplatform.derive.layout.ink import find_ink
from mmplatform.derive.layout.turning import is_more_legible, turn_back, turns_to_try
from mmplatform.locators import Box
from mmplatform.ports import RecognisedLine
from tests.derive.screens import Canvas


def line(text: str, confidence: float = 0.98, *, tall: bool = False) -> RecognisedLine:
    box = Box(x0=0, y0=0, x1=20, y1=200) if tall else Box(x0=0, y0=0, x1=200, y1=20)
    return RecognisedLine(text, box, confidence)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_box_is_mapped_to_the_pixels_that_it_had(turns):
    image = np.zeros((30, 50, 3), dtype=np.uint8)
    image[4:9, 11:31] = 255
    ys, xs, _ = np.nonzero(np.rot90(image, turns))
    found = Box(x0=int(xs.min()), y0=int(ys.min()), x1=int(xs.max()) + 1, y1=int(ys.max()) + 1)
    back = turn_back(RecognisedLine("x", found, 1.0), turns, 50, 30).box
    assert (back.x0, back.y0, back.x1, back.y1) == (11, 4, 31, 9)


def test_clear_lines_are_not_turned():
    assert turns_to_try([]) == ()
    assert turns_to_try([line("Payment failed"), line("Try again")]) == ()
    assert turns_to_try([line("Payment failed"), line("A label on a chart", tall=True), line("Monthly revenue")]) == ()
    assert turns_to_try([line("x", 0.3), line("ok", 0.2)]) == ()


def test_tall_lines_lie_on_their_side_and_doubtful_ones_stand_on_their_head():
    assert turns_to_try([line("Payment failed", tall=True), line("Menu")]) == (1, 3)
    assert turns_to_try([line("Ord d     d day", 0.79), line("Ord   d  d d day", 0.78)]) == (2,)


def test_only_clearly_better_lines_replace_others():
    garbage, good = [line("Ord d     d day", 0.79)], [line("Order 1041 declined", 0.98)]
    assert is_more_legible(good, garbage)
    assert not is_more_legible(garbage, good)
    assert not is_more_legible(good, good)
    assert not is_more_legible([], [])


def test_ink_is_found_where_no_line_is():
    screen = Canvas.blank(1920, 1080)
    screen.text(900, 500, "Declined", size=24)
    screen.text(100, 100, "Known already", size=24)
    [box] = find_ink(screen.pixels, screen.lines[1:])
    wanted = screen.lines[0].box
    assert all(abs(getattr(box, side) - getattr(wanted, side)) < 12 for side in ("x0", "y0", "x1", "y1"))
    assert find_ink(screen.pixels, screen.lines) == []


def test_a_picture_is_no_sparse_screen():
    noise = np.random.default_rng(1).integers(0, 255, (60, 40, 3), dtype=np.uint8)
    patches = np.zeros((1000, 1600, 3), dtype=np.uint8)
    for top in range(20, 960, 100):
        for left in range(20, 1500, 150):
            patches[top : top + 40, left : left + 60] = noise.transpose(1, 0, 2)
    assert find_ink(patches, []) == []


def test_frames_and_patches_are_no_ink():
    screen = Canvas.blank(1280, 800)
    screen.rectangle((100, 100, 700, 140), outline="black")
    screen.rectangle((100, 300, 160, 330), fill="#1f6b49")
    screen.rectangle((300, 300, 900, 310), fill="black")
    assert find_ink(screen.pixels, []) == []
    screen.text(120, 106, "Name on the card", size=18)
    assert len(find_ink(screen.pixels, [])) == 1
