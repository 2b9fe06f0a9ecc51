"""Lines and pixels → one or two sentences that describe a screen, without a model (``captioner=ocr-layout``).

A caption claims only what the layout shows: "dialog" only for a light patch on a dimmed page or a window with the
buttons of one, "error" only for words of failure, otherwise "Screen with text: …". The same input gives the same words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mmplatform.derive.layout.reading_order import group_rows
from mmplatform.derive.layout.surfaces import (
    Surface,
    find_buttons,
    find_overlay,
    find_surfaces,
    font_size,
    lines_in,
)
from mmplatform.locators import Box
from mmplatform.ports import RecognisedLine, RgbImage

_ERROR: Final = re.compile(
    r"\b(fail(s|ed|ure|ing)?|errors?|declin(e|ed)|denied|reject(ed)?|refused|timed[ -]?out|time-?out|expired|invalid|"
    r"unable to|can(not|['\u2019]t)|could(n['\u2019]t| not)|"
    r"not (confirmed|available|responding|found|possible|allowed)|"
    r"unavailable|unsuccessful|insufficient|locked|blocked|went wrong|crash(ed)?|fatal|oops)\b",
    re.IGNORECASE,
)
_DIALOG_VERBS: Final = frozenset(
    {"ok", "cancel", "close", "apply", "yes", "no", "retry", "abort", "ignore", "discard", "save", "quit", "continue"}
    | {"dismiss", "reset", "help", "back", "next", "finish"}
)
_MAX_BODY_CHARS: Final = 320
_MAX_TEXT_CHARS: Final = 420
_MAX_NOTICE_CHARS: Final = 240
_MAX_HEADING_WORDS: Final = 14
_MAX_BUTTONS: Final = 5
_MAX_SMALL_DIALOG_LINES: Final = 14
_SAME_SIZE_RATIO: Final = 0.92
_HEADING_SIZE_RATIO: Final = 1.2
_MIN_CONFIDENCE: Final = 0.6


@dataclass(frozen=True, slots=True)
class _Screen:
    image: RgbImage
    lines: Sequence[RecognisedLine]
    surfaces: Sequence[Surface]
    sizes: Sequence[float]
    buttons: frozenset[int]


class LayoutCaptioner:
    """:class:`mmplatform.ports.Captioner` by rules on OCR lines and the surfaces behind them."""

    name = "ocr-layout"
    version = "1"

    def caption(self, image: RgbImage, lines: Sequence[RecognisedLine]) -> str:
        """Describe the screen; never empty."""
        legible = [line for line in lines if _is_legible(line)]
        if not legible:
            return "Screen without readable text."
        surfaces = find_surfaces(image, legible)
        screen = _Screen(
            image=image,
            lines=legible,
            surfaces=surfaces,
            sizes=[font_size(image, line) for line in legible],
            buttons=_add_plain_buttons(find_buttons(surfaces, legible), legible, image.shape[0]),
        )
        overlay = find_overlay(image, surfaces)
        if overlay is not None:
            return _describe_dialog(screen, overlay, over_page=True)
        if _is_dialog_window(screen):
            height, width = image.shape[:2]
            return _describe_dialog(screen, Box(x0=0, y0=0, x1=width, y1=height), over_page=False)
        panel = _error_panel(screen)
        return _describe_panel(screen, panel) if panel is not None else _describe_page(screen)


def _describe_dialog(screen: _Screen, box: Box, *, over_page: bool) -> str:
    inside = lines_in(box, screen.lines)
    title = _heading(screen, inside) if over_page else _window_title(screen, inside)
    body = _body(screen, [i for i in inside if i != title])
    titled = screen.lines[title].text if title is not None else ""
    is_error = _ERROR.search(titled) or (len(inside) <= _MAX_SMALL_DIALOG_LINES and _ERROR.search(body))
    parts = [("Error dialog" if is_error else "Dialog") + (f" titled {_quoted(titled)}" if titled else "")]
    if body:
        parts.append(f", says {_quoted(_truncate(body, _MAX_BODY_CHARS))}")
    parts.append(_buttons(screen, inside))
    outside = [i for i in range(len(screen.lines)) if i not in set(inside)]
    page = _heading(screen, outside) if over_page else None
    if page is not None:
        parts.append(f"; over a page headed {_quoted(screen.lines[page].text)}")
    return "".join(parts) + "."


def _describe_panel(screen: _Screen, panel: Surface) -> str:
    inside = lines_in(panel.box, screen.lines)
    title = _heading(screen, inside)
    body = _body(screen, [i for i in inside if i != title])
    outside = [i for i in range(len(screen.lines)) if i not in set(inside)]
    page = _heading(screen, outside)
    description = f"Error message {_quoted(screen.lines[title].text)}" if title is not None else "Error message"
    if body:
        description += f", says {_quoted(_truncate(body, _MAX_BODY_CHARS))}"
    description += _buttons(screen, inside)
    if page is not None:
        description += f"; on a page headed {_quoted(screen.lines[page].text)}"
    return description + "."


def _describe_page(screen: _Screen) -> str:
    everything = range(len(screen.lines))
    heading = _heading(screen, everything)
    notices = _notices(screen, heading)
    description = "Screen"
    if heading is not None:
        description += f" headed {_quoted(screen.lines[heading].text)}"
    if notices:
        description += f" with the error notice {_quoted(_truncate(' / '.join(notices), _MAX_NOTICE_CHARS))}"
    text = _body(screen, [i for i in everything if i != heading])
    if text:
        description += (
            f"{',' if heading is not None or notices else ''} with text: {_quoted(_truncate(text, _MAX_TEXT_CHARS))}"
        )
    return description + _buttons(screen, everything) + "."


def _is_dialog_window(screen: _Screen) -> bool:
    """Check for an image of one window whose lowest row of buttons has a label that only dialogs have."""
    height = screen.image.shape[0]
    low = [screen.lines[i] for i in screen.buttons if screen.lines[i].box.y0 > 0.6 * height]
    verbs = [line for line in low if line.text.lower().strip("_.! ").split()[0] in _DIALOG_VERBS]
    if not verbs:
        return False
    lowest = max(line.box.y1 for line in screen.lines)
    return any(line.box.y1 > lowest - 2.5 * (line.box.y1 - line.box.y0) for line in verbs)


def _add_plain_buttons(found: Sequence[int], lines: Sequence[RecognisedLine], height: int) -> frozenset[int]:
    """Add labels without a visible frame: a dialog's verb, alone, low in the image or level with a button."""
    levels = [lines[i].box for i in found]

    def is_plain(line: RecognisedLine) -> bool:
        if line.text.lower().strip("_.!") not in _DIALOG_VERBS:
            return False
        middle = (line.box.y0 + line.box.y1) / 2
        return line.box.y0 > 0.8 * height or any(box.y0 < middle < box.y1 for box in levels)

    return frozenset(found) | {i for i, line in enumerate(lines) if is_plain(line)}


def _error_panel(screen: _Screen) -> Surface | None:
    """Find the patch, smaller than the page, that has an error heading and a button."""
    page = max(screen.surfaces, key=lambda s: s.area, default=None)
    found: list[tuple[float, int]] = []
    for k, surface in enumerate(screen.surfaces):
        inside = lines_in(surface.box, screen.lines)
        if surface is page or len(inside) < 2 or not screen.buttons.intersection(inside):  # noqa: PLR2004
            continue
        title = _heading(screen, inside)
        if title is not None and title not in screen.buttons and _ERROR.search(screen.lines[title].text):
            found.append((screen.sizes[title], k))
    return screen.surfaces[max(found)[1]] if found else None


def _notices(screen: _Screen, heading: int | None) -> list[str]:
    """Find error lines: those on a tinted patch of their own, else the first two with words of failure."""
    standing_out = [
        i
        for surface in screen.surfaces
        if surface.tinted and len(surface.lines) <= 3 and max(surface.colour) > 120  # noqa: PLR2004 — a banner
        for i in surface.lines
        if _ERROR.search(screen.lines[i].text)
    ]
    others = [i for i, line in enumerate(screen.lines) if _ERROR.search(line.text) and len(line.text.split()) > 2]  # noqa: PLR2004
    chosen = sorted(set(standing_out)) or others[:2]
    seen = dict.fromkeys(screen.lines[i].text for i in chosen if i != heading and i not in screen.buttons)
    texts = list(seen)
    return [t for t in texts if not any(t != longer and t in longer for longer in texts)][:3]


def _heading(screen: _Screen, indices: Sequence[int]) -> int | None:
    """Find the largest short line in the upper half of ``indices``, the topmost of that size; None without one."""
    if not indices:
        return None
    boxes = [screen.lines[i].box for i in indices]
    middle = (min(box.y0 for box in boxes) + max(box.y1 for box in boxes)) / 2
    fit = [
        i
        for i in indices
        if i not in screen.buttons and screen.lines[i].box.y0 <= middle and _may_be_heading(screen.lines[i])
    ]
    if not fit:
        return None
    largest = max(screen.sizes[i] for i in fit)
    usual = sorted(screen.sizes[i] for i in indices)[len(indices) // 2]
    if len(indices) > 2 and largest < _HEADING_SIZE_RATIO * usual:  # noqa: PLR2004 — all of one size: nothing is a heading
        return None
    return min(
        (i for i in fit if screen.sizes[i] >= _SAME_SIZE_RATIO * largest), key=lambda i: (screen.lines[i].box.y0, i)
    )


def _may_be_heading(line: RecognisedLine) -> bool:
    """Check whether a line may be a heading: a few words, mostly letters."""
    letters = sum(c.isalpha() for c in line.text)
    return len(line.text.split()) <= _MAX_HEADING_WORDS and letters > max(3, len(line.text) / 2)


def _window_title(screen: _Screen, indices: Sequence[int]) -> int | None:
    """Find the title bar's text: alone in the first row, and centred or on a surface of its own."""
    all_rows = group_rows([line.box for line in screen.lines], indices)
    first = all_rows[0]
    i, box = first[0], screen.lines[first[0]].box
    width = screen.image.shape[1]
    centred = abs(box.x0 + box.x1 - width) < 0.1 * width
    own_ground = any(surface.lines == (i,) for surface in screen.surfaces)
    if len(first) == 1 and i not in screen.buttons and _may_be_heading(screen.lines[i]) and (centred or own_ground):
        return i
    heading = _heading(screen, indices)
    return heading if any(heading in row for row in all_rows[:3]) else None


def _body(screen: _Screen, indices: Sequence[int]) -> str:
    """Join the lines that are no buttons, in reading order; "label: value" where a row has two cells."""
    wanted = [i for i in indices if i not in screen.buttons]
    joined = ""
    row: list[int] = []
    for i in [*wanted, None]:
        if i is not None and (not row or _is_next_cell(screen.lines[row[-1]], screen.lines[i])):
            row.append(i)
            continue
        joined = _append_row(joined, [screen.lines[j].text for j in row])
        row = [i] if i is not None else []
    return joined


def _append_row(joined: str, cells: Sequence[str]) -> str:
    if not cells:
        return joined
    labelled = len(cells) == 2 and len(cells[0].split()) <= 3  # noqa: PLR2004 — a label and its value
    is_pair = labelled and not any(c.isdigit() for c in cells[0])
    text = f"{cells[0].rstrip(':')}: {cells[1]}" if is_pair else ", ".join(cells)
    if not joined:
        return text
    flows = joined.endswith((".", "!", "?", ":", ";")) or (len(cells) == 1 and text[:1].islower())
    return f"{joined} {text}" if flows else f"{joined}; {text}"


def _is_next_cell(left: RecognisedLine, right: RecognisedLine) -> bool:
    height = min(left.box.y1 - left.box.y0, right.box.y1 - right.box.y0)
    level = abs((left.box.y0 + left.box.y1) - (right.box.y0 + right.box.y1)) < height
    return level and right.box.x0 > left.box.x0


def _buttons(screen: _Screen, indices: Sequence[int]) -> str:
    labels = list(dict.fromkeys(screen.lines[i].text for i in indices if i in screen.buttons))[:_MAX_BUTTONS]
    if not labels:
        return ""
    return f"; button{'s' if len(labels) > 1 else ''} {', '.join(_quoted(label) for label in labels)}"


def _is_legible(line: RecognisedLine) -> bool:
    letters = sum(c.isalnum() for c in line.text)
    return line.confidence >= _MIN_CONFIDENCE and (letters > 1 or line.text.isdigit())  # one letter: an icon


def _quoted(text: str) -> str:
    return f"'{text}'"


def _truncate(text: str, max_chars: int) -> str:
    if len(text) <= max_chars:
        return text
    return text[:max_chars].rsplit(" ", 1)[0].rstrip(" ,;:") + " …"
