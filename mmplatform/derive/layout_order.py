"""Boxes of text on a screen → reading order and paragraph blocks, by geometry alone.

The order is a recursive XY-cut (Nagy and Seth, 1984) with one addition: a gap between columns is not cut where the
lines on its two sides stand level with each other, because then they are the rows of a table ("Amount   $186.40") and
must be read across.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Final

from mmplatform.artifacts import Box
from mmplatform.ports import ReadLine

_TABLE_SHARE: Final = 0.6
"""Share of level lines on the shorter side of a gap from which on it is a table."""
_TEXT_COLUMN_WIDTH: Final = 12.0
"""Line width, in line heights, from which on level lines are two columns of prose and no table."""
_BLOCK_GAP: Final = 1.0
_BLOCK_CHARS: Final = 600


def reading_order(boxes: Sequence[Box]) -> list[int]:
    """Indices into ``boxes`` as a person would read them: columns left to right, rows top to bottom."""
    return _cut(boxes, list(range(len(boxes)))) if boxes else []


def blocks(lines: Sequence[ReadLine]) -> list[list[int]]:
    """Group lines, given in reading order, into paragraphs: close, alike in height, one below or beside the other."""
    groups: list[list[int]] = []
    for i, line in enumerate(lines):
        if groups and _continues([lines[j] for j in groups[-1]], line):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def rows(boxes: Sequence[Box], indices: Sequence[int]) -> list[list[int]]:
    """Indices grouped into rows, top to bottom, each from left to right."""
    height = _line_height(boxes, indices)
    found: list[list[int]] = []
    for i in sorted(indices, key=lambda i: _middle(boxes[i])):
        if found and abs(_middle(boxes[i]) - statistics.fmean(_middle(boxes[j]) for j in found[-1])) < height / 2:
            found[-1].append(i)
        else:
            found.append([i])
    return [sorted(row, key=lambda i: boxes[i].x0) for row in found]


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all; ``boxes`` must not be empty."""
    return Box(
        x0=min(b.x0 for b in boxes),
        y0=min(b.y0 for b in boxes),
        x1=max(b.x1 for b in boxes),
        y1=max(b.y1 for b in boxes),
    )


def holds(outer: Box, inner: Box) -> bool:
    """Whether the middle of ``inner`` lies in ``outer``."""
    x, y = (inner.x0 + inner.x1) / 2, _middle(inner)
    return outer.x0 <= x <= outer.x1 and outer.y0 <= y <= outer.y1


def _middle(box: Box) -> float:
    return (box.y0 + box.y1) / 2


def _line_height(boxes: Sequence[Box], indices: Sequence[int]) -> float:
    return max(1.0, statistics.median(boxes[i].y1 - boxes[i].y0 for i in indices))


def _cut(boxes: Sequence[Box], indices: list[int]) -> list[int]:
    if len(indices) < 2:  # noqa: PLR2004 — nothing to order
        return indices
    height = _line_height(boxes, indices)
    columns = [
        (gap, at)
        for gap, at in _gaps(indices, lambda i: boxes[i].x0, lambda i: boxes[i].x1)
        if gap >= height and not _is_table(boxes, indices, at)
    ]
    if columns:
        at = max(columns)[1]
        sides = ([i for i in indices if boxes[i].x1 <= at], [i for i in indices if boxes[i].x1 > at])
        return [i for side in sides for i in _cut(boxes, side)]
    between = _gaps(indices, lambda i: boxes[i].y0, lambda i: boxes[i].y1)
    if between:
        at = max(between)[1]
        sides = ([i for i in indices if boxes[i].y1 <= at], [i for i in indices if boxes[i].y1 > at])
        return [i for side in sides for i in _cut(boxes, side)]
    return [i for row in rows(boxes, indices) for i in row]


def _gaps(
    indices: Sequence[int], start: Callable[[int], float], end: Callable[[int], float]
) -> list[tuple[float, float]]:
    """Stretches of one axis that no box covers, as ``(width, where the next one starts)``."""
    found: list[tuple[float, float]] = []
    reached: float | None = None
    for i in sorted(indices, key=start):
        if reached is not None and start(i) > reached:
            found.append((start(i) - reached, reached))
        reached = end(i) if reached is None else max(reached, end(i))
    return found


def _is_table(boxes: Sequence[Box], indices: Sequence[int], at: float) -> bool:
    """Whether a cut at ``x = at`` would tear rows apart; a single line beside others is no column either."""
    left = [boxes[i] for i in indices if boxes[i].x1 <= at]
    right = [boxes[i] for i in indices if boxes[i].x1 > at]
    fewer, more = sorted((left, right), key=len)
    height = _line_height(boxes, indices)
    if len(fewer) < 2:  # noqa: PLR2004 — see above
        return any(abs(_middle(fewer[0]) - _middle(other)) < height / 2 for other in more)
    level = sum(any(abs(_middle(one) - _middle(other)) < 0.35 * height for other in more) for one in fewer)
    if level < _TABLE_SHARE * len(fewer):
        return False
    prose = (statistics.median(b.x1 - b.x0 for b in side) >= _TEXT_COLUMN_WIDTH * height for side in (left, right))
    return not all(prose)


def _continues(block: Sequence[ReadLine], line: ReadLine) -> bool:
    last, box = block[-1].box, line.box
    height = min(last.y1 - last.y0, box.y1 - box.y0)
    if max(last.y1 - last.y0, box.y1 - box.y0) > 1.7 * height:
        return False
    if sum(len(member.text) + 1 for member in block) + len(line.text) > _BLOCK_CHARS:
        return False
    if abs(_middle(last) - _middle(box)) < height / 2:
        return box.x0 - last.x1 < 14 * height
    around = union([member.box for member in block])
    overlaps = min(around.x1, box.x1) - max(around.x0, box.x0) > 0
    return overlaps and -height / 2 < box.y0 - around.y1 < _BLOCK_GAP * height
