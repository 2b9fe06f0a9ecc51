"""Screenshot → raw OCR lines, from the memo or by reading the bytes.

The memo keeps what OCR read as it was read, with the personal data in it: it belongs to the raw vault, like the blobs,
and whoever erases a blob must erase its entries too. Nothing raw leaves the screenshot deriver.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from mmplatform.artifacts import Box
from mmplatform.derive.media.image import decode
from mmplatform.errors import Rejected
from mmplatform.events import BlobRef
from mmplatform.ports import Blobs, Memo, Pixels, ReadLine, ScreenReader

_HELD_PIXELS: Final = 50_000_000
"""Decoded pixels (3 bytes each) that one micro-batch keeps for its captions; the others are decoded again."""


class Unreadable(Rejected):
    """A blob that gives no image; ``contract`` names the stage that refused it."""

    def __init__(self, contract: str, reason: str) -> None:
        super().__init__(reason)
        self.contract = contract


@dataclass(slots=True)
class ReadScreen:
    """What OCR read in one image. ``lines`` are raw."""

    ref: BlobRef
    width: int
    height: int
    lines: tuple[ReadLine, ...]
    seconds: float = 0.0
    from_memo: bool = False
    pixels: Pixels | None = field(default=None, repr=False)


class ScreenSource:
    """Blobs, decoder, OCR and memo behind one door."""

    def __init__(self, reader: ScreenReader, memo: Memo, blobs: Blobs, *, max_pixels: int) -> None:
        self._reader = reader
        self._memo = memo
        self._blobs = blobs
        self._max_pixels = max_pixels
        self._space = f"ocr/{reader.name}@{reader.version}"

    def read_all(self, refs: Sequence[BlobRef]) -> tuple[dict[str, ReadScreen], dict[str, Unreadable]]:
        """Read each image once, however often it is named; both results are keyed by sha256.

        Raises:
            Unavailable: the blob store or the memo does not answer.
        """
        unique = {ref.sha256: ref for ref in refs}
        known = self._memo.get_many(self._space, list(unique))
        screens: dict[str, ReadScreen] = {}
        refused: dict[str, Unreadable] = {}
        held = 0
        for sha256, ref in unique.items():
            if sha256 in known:
                screens[sha256] = _unpacked(known[sha256], ref)
                continue
            try:
                screen = self._read(ref)
            except Unreadable as error:
                refused[sha256] = error
                continue
            held += screen.width * screen.height
            if held > _HELD_PIXELS:
                screen.pixels = None
            screens[sha256] = screen
        fresh = {sha256: _packed(screen) for sha256, screen in screens.items() if not screen.from_memo}
        self._memo.put_many(self._space, fresh)
        return screens, refused

    def pixels(self, screen: ReadScreen) -> Pixels:
        """The decoded image. Raises ``Unreadable``, ``Unavailable``."""
        return screen.pixels if screen.pixels is not None else self._decoded(screen.ref)

    def _read(self, ref: BlobRef) -> ReadScreen:
        pixels = self._decoded(ref)
        started = time.perf_counter()
        lines = tuple(self._reader.read(pixels))
        return ReadScreen(
            ref=ref,
            width=pixels.shape[1],
            height=pixels.shape[0],
            lines=lines,
            seconds=time.perf_counter() - started,
            pixels=pixels,
        )

    def _decoded(self, ref: BlobRef) -> Pixels:
        try:
            data = self._blobs.get(ref)
        except Rejected as error:
            raise Unreadable("blob", str(error)) from None
        try:
            return decode(data, self._max_pixels)
        except Rejected as error:
            raise Unreadable("image", str(error)) from None


def _packed(screen: ReadScreen) -> bytes:
    rows = [(line.text, line.box.x0, line.box.y0, line.box.x1, line.box.y1, line.confidence) for line in screen.lines]
    return orjson.dumps({"width": screen.width, "height": screen.height, "lines": rows})


def _unpacked(packed: bytes, ref: BlobRef) -> ReadScreen:
    record: Mapping[str, object] = orjson.loads(packed)
    rows = record["lines"]
    assert isinstance(rows, list)  # noqa: S101 — written by _packed
    lines = tuple(
        ReadLine(text, Box(x0=x0, y0=y0, x1=x1, y1=y1), confidence) for text, x0, y0, x1, y1, confidence in rows
    )
    return ReadScreen(ref, int(str(record["width"])), int(str(record["height"])), lines, from_memo=True)
