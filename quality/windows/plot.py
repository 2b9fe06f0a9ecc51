"""Plot of a figure over its windows: an SVG in a data URI, as a Markdown image that Dagster's UI shows.

Drawn here, for a plotting library takes 1 s to import and each evaluation is a process.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import Final

from quality.windows.baseline import Band

_WIDTH: Final = 560
_HEIGHT: Final = 180
_TOP: Final = 26
_BOTTOM: Final = 40
_USUAL: Final = "#9aa5b8"
_PASSED: Final = "#2f7d5b"
_FAILED: Final = "#c4372d"


def bar_plot(
    title: str, bars: Sequence[tuple[str, float]], *, passed: bool, band: Band | None = None, limit: float | None = None
) -> str:
    """A bar for each window, the last one in colour; the band is shaded, and the limit is a dashed line.

    Args:
        title: names figure and unit.
        bars: label and value, at least one.
        passed: decides the colour of the last bar.
        band: the usual range.
        limit: the limit of the figure.
    """
    values = [value for _, value in bars]
    upper = max([*values, *([band.high] if band else []), *([limit] if limit is not None else [])]) * 1.05 or 1.0
    scale = (_HEIGHT - _TOP - _BOTTOM) / upper

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - max(value, 0.0) * scale

    parts = [f'<text x="8" y="16" font-weight="bold">{escape(title)}</text>']
    if band is not None:
        height = y(band.low) - y(band.high)
        parts.append(f'<rect x="8" y="{y(band.high):.1f}" width="{_WIDTH - 16}" height="{height:.1f}" fill="#e6ebf4"/>')
    step = (_WIDTH - 16) / len(bars)
    for number, (label, value) in enumerate(bars):
        last = number == len(bars) - 1
        colour = _USUAL if not last else _PASSED if passed else _FAILED
        parts.append(_bar(8 + step * number, step, y(value), colour, label, value))
    if limit is not None:
        parts.append(f'<path d="M8 {y(limit):.1f}H{_WIDTH - 8}" stroke="{_FAILED}" stroke-dasharray="5"/>')
    return _image(title, "".join(parts))


def _bar(left: float, step: float, top: float, colour: str, label: str, value: float) -> str:
    middle, width = left + step / 2, min(step * 0.6, 60)
    height = _HEIGHT - _BOTTOM - top
    return (
        f'<rect x="{middle - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
        f'<text x="{middle:.1f}" y="{_HEIGHT - 24}" text-anchor="middle">{escape(label)}</text>'
        f'<text x="{middle:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{value:.3g}</text>'
    )


def _image(title: str, content: str) -> str:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#fff"/>{content}</svg>'
    )
    return f"![{title}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"
