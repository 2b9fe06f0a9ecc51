"""The shown set: forms in a browser, read by the OCR of the product and redacted as screenshots are.

Every value stands in a row of its own beside its label. The browser reports the box of each row, so that the lines that
OCR read there are known. A value is removed when only its label and an entity are left of its row. A harmless row that
changes is a false redaction.
"""

from __future__ import annotations

import base64
import html
import io
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from random import Random
from typing import Any, Final

import numpy as np

from benchmarks.accuracy.corpora import Absent
from benchmarks.pii.fields import record
from benchmarks.pii.rendered import cached_json
from benchmarks.pii.samples import EITHER
from benchmarks.pii.score import Counts, Failure, Score
from mmplatform.derive.screenshot.redaction import redact_screens
from mmplatform.locators import Box
from mmplatform.pipeline.factories import open_screen_reader
from mmplatform.ports import RecognisedLine, Redactor
from mmplatform.settings import Settings

DEFAULT_SIZE: Final = 64
_WIDTH, _HEIGHT = 1000, 620
_ON_EACH_PAGE: Final = ("card", "email", "phone")
_IN_TURN: Final = ("iban", "person", "ssn", "address")
_MISREAD_PAGES: Final = 4
"""One page in so many has its digits written with letters of the same look."""
_FIELDS_OF_PAGE: Final = 7
_ENTITY: Final = re.compile(r"\[([A-Z_]+)\]")
_WORD: Final = re.compile(r"[^\W_]+")
_MIN_SIMILARITY: Final = 0.6
"""Similarity of a word on the screen to a word of the label, which OCR may misread."""
_MAX_STRAY_CHARS: Final = 1
"""Letters that may be left of a row: a border that OCR reads as a letter."""
_FONTS: Final = ("Arial, sans-serif", "Georgia, serif", "'DejaVu Sans Mono', monospace", "Verdana, sans-serif")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a page: label, value, entity of the value (empty for a harmless one), and where it stands.

    ``optional`` is the part of the value that may stay.
    """

    label: str
    value: str
    entity: str
    style: str
    optional: str = ""
    box: tuple[float, float, float, float] = (0, 0, 0, 0)


def shown_score(redactor: Redactor, settings: Settings, size: int, seed: int) -> Score:
    """Render pages, read them, redact them and score every row.

    Raises:
        Absent: the browser is not installed.
    """
    pages = [_page_rows(Random(f"{seed} {number}"), number) for number in range(size)]
    key = f"{seed} {size} {settings.ocr_threads > 0} {pages}"
    screens = cached_json("shown", key, lambda: _read_pages(pages, seed, settings))
    read = [[_line(line) for line in screen["lines"]] for screen in screens]
    score = Score("shown", texts=len(screens))
    for screen, lines, redacted in zip(screens, read, redact_screens(read, redactor), strict=True):
        for row in (Row(**row) for row in screen["rows"]):
            _count(score, row, lines, redacted.lines)
    return score


def _page_rows(random: Random, number: int) -> list[Row]:
    misread = number % _MISREAD_PAGES == 0
    frequent = (*_ON_EACH_PAGE, _IN_TURN[number // _MISREAD_PAGES % len(_IN_TURN)])
    rows = []
    for field in record(random, "en", personal=_FIELDS_OF_PAGE, frequent=frequent, misread=misread):
        entities = {piece.entity for piece in field.pieces} - {"", EITHER}
        entity = entities.pop() if entities else ""
        optional = " ".join(piece.text for piece in field.pieces if piece.entity == EITHER)
        style = "misread digits" if misread and entity in {"CARD", "PHONE"} else "screen"
        value = " ".join("".join(piece.text for piece in field.pieces).split())
        rows.append(Row(field.label, value, entity, style, optional))
    return rows


def _count(score: Score, row: Row, before: Sequence[RecognisedLine], after: Sequence[RecognisedLine]) -> None:
    """Count one row by what OCR read in its box, before and after redaction."""
    touched = [index for index, line in enumerate(before) if _is_in_row(line.box, row)]
    read, redacted = (" ".join(lines[index].text for index in touched) for lines in (before, after))
    harmless = f"{row.label} {row.optional}"
    if not _left_over(read, harmless):
        return  # OCR read nothing of the value
    entities = set(_ENTITY.findall(redacted))
    stray = _left_over(redacted, harmless)
    if row.entity:
        removed = len(stray) <= _MAX_STRAY_CHARS
        counts = Counts(values=1, removed=removed, named=removed and row.entity in entities)
        right = Counts(right=1)
    else:
        removed, counts, right = redacted == read, Counts(), Counts(false=1)
    for entity, added in ((row.entity, counts), *((entity, right) for entity in entities)):
        if entity:
            score.count_group(entity, row.style, "en", added)
    if not removed:
        kind, entity = ("miss", row.entity) if row.entity else ("false", next(iter(entities), "?"))
        score.failures.append(Failure(kind, entity, "shown", row.style, "en", False, row.value, read, redacted))


def _is_in_row(box: Box, row: Row) -> bool:
    middle = (box.y0 + box.y1) / 2
    return row.box[1] <= middle <= row.box[3]


def _left_over(text: str, harmless: str) -> str:
    """Letters and digits of a line that belong neither to the harmless words nor to a placeholder."""
    expected = [word.lower() for word in _WORD.findall(harmless)]
    words = [word.lower() for word in _WORD.findall(_ENTITY.sub(" ", text))]
    joined = "".join(expected)
    return "".join(
        word
        for word in words
        if word not in joined
        and not any(SequenceMatcher(None, word, part).ratio() >= _MIN_SIMILARITY for part in (*expected, joined))
    )


def _line(line: dict[str, Any]) -> RecognisedLine:
    return RecognisedLine(text=line["text"], box=Box(**line["box"]), confidence=line["confidence"])


def _read_pages(pages: Sequence[Sequence[Row]], seed: int, settings: Settings) -> list[dict[str, Any]]:
    from PIL import Image

    reader = open_screen_reader(settings)
    screens = []
    for number, (png, rows) in enumerate(_screenshots(pages, seed)):
        image = np.array(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))
        lines = [
            {"text": line.text, "box": line.box.model_dump(), "confidence": line.confidence}
            for line in reader.read(image)
        ]
        screens.append({"rows": [asdict(row) for row in rows], "lines": lines, "number": number})
    return screens


def _screenshots(pages: Sequence[Sequence[Row]], seed: int) -> list[tuple[str, list[Row]]]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise Absent("install a browser: `apt-get install chromium`")
    shots = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        for number, rows in enumerate(pages):
            page.set_content(_markup(rows, Random(f"{seed} look {number}")))
            boxes = page.eval_on_selector_all(
                ".row",
                "rows => rows.map(row => row.getBoundingClientRect()).map(b => [b.left, b.top, b.right, b.bottom])",
            )
            positioned = [replace(row, box=tuple(box)) for row, box in zip(rows, boxes, strict=True)]
            shots.append((base64.b64encode(page.screenshot()).decode(), positioned))
        browser.close()
    return shots


def _markup(rows: Sequence[Row], random: Random) -> str:
    """Page with one row a field; labels at the left, values beside them or far to the right."""
    font, size, width = random.choice(_FONTS), random.choice((15, 18, 22)), random.choice((220, 320, 480))
    dark = random.random() < 0.3
    lines = "".join(
        f'<div class="row"><span class="label">{html.escape(row.label)}</span>'
        f"<span>{html.escape(row.value)}</span></div>"
        for row in rows
    )
    return (
        f"<style>body {{ font: {size}px {font}; margin: 24px; background: {'#202124' if dark else '#fff'};"
        f" color: {'#e8eaed' if dark else '#222'} }} .row {{ padding: 9px 0; white-space: nowrap }}"
        f" .label {{ display: inline-block; width: {width}px }}</style>{lines}"
    )
