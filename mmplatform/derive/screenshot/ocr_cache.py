"""Screenshot → raw OCR lines, from the memo or by OCR.

The memo stores unredacted OCR text, with personal data: it belongs to the raw vault, like the blobs, and the erasure of
a blob must erase its entries too. No unredacted line leaves the screenshot deriver.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from mmplatform.derive.media.image import decode
from mmplatform.derive.memo_batch import memoised_batch
from mmplatform.errors import Rejected
from mmplatform.events import BlobRef
from mmplatform.locators import Box
from mmplatform.ports import Blobs, Memo, OcrEngine, RecognisedLine, RgbImage

_MAX_CACHED_PIXELS: Final = 50_000_000
"""Decoded pixels (3 bytes each) that one micro-batch caches for its captions; the others are decoded again."""


class UnreadableImage(Rejected):
    """The blob is no readable image; ``contract`` names the stage that refused it."""

    def __init__(self, contract: str, reason: str) -> None:
        super().__init__(reason)
        self.contract = contract


@dataclass(slots=True)
class OcrResult:
    """OCR of one image; ``lines`` are unredacted."""

    ref: BlobRef
    width: int
    height: int
    lines: tuple[RecognisedLine, ...]
    seconds: float = 0.0
    memo_hit: bool = False
    pixels: RgbImage | None = field(default=None, repr=False)


class OcrCache:
    """Reads images from the blobs by OCR, with a memo."""

    def __init__(self, reader: OcrEngine, memo: Memo, blobs: Blobs, *, max_pixels: int) -> None:
        self._reader = reader
        self._memo = memo
        self._blobs = blobs
        self._max_pixels = max_pixels
        self._space = f"ocr/{reader.name}@{reader.version}"

    def read_many(self, refs: Sequence[BlobRef]) -> tuple[dict[str, OcrResult], dict[str, UnreadableImage]]:
        """Read each distinct image once; results and refusals are keyed by sha256.

        Raises:
            Unavailable: the blob store or the memo does not answer.
        """
        unique = {ref.sha256: ref for ref in refs}
        refused: dict[str, UnreadableImage] = {}

        def compute(missing: dict[str, BlobRef]) -> dict[str, OcrResult]:
            screens: dict[str, OcrResult] = {}
            cached_pixels = 0
            for sha256, ref in missing.items():
                try:
                    screen = self._read(ref)
                except UnreadableImage as error:
                    refused[sha256] = error
                    continue
                cached_pixels += screen.width * screen.height
                if cached_pixels > _MAX_CACHED_PIXELS:
                    screen.pixels = None
                screens[sha256] = screen
            return screens

        batch = memoised_batch(
            self._memo,
            self._space,
            unique,
            compute,
            pack=_pack,
            unpack=lambda sha256, packed: _unpack(packed, unique[sha256]),
        )
        return batch.outputs, refused

    def pixels(self, screen: OcrResult) -> RgbImage:
        """Return the decoded image. Raises ``UnreadableImage``, ``Unavailable``."""
        return screen.pixels if screen.pixels is not None else self._decode(screen.ref)

    def _read(self, ref: BlobRef) -> OcrResult:
        pixels = self._decode(ref)
        started = time.perf_counter()
        lines = tuple(self._reader.read(pixels))
        return OcrResult(
            ref=ref,
            width=pixels.shape[1],
            height=pixels.shape[0],
            lines=lines,
            seconds=time.perf_counter() - started,
            pixels=pixels,
        )

    def _decode(self, ref: BlobRef) -> RgbImage:
        try:
            data = self._blobs.get(ref)
        except Rejected as error:
            raise UnreadableImage("blob", str(error)) from None
        try:
            return decode(data, self._max_pixels)
        except Rejected as error:
            raise UnreadableImage("image", str(error)) from None


def _pack(screen: OcrResult) -> bytes:
    rows = [(line.text, line.box.x0, line.box.y0, line.box.x1, line.box.y1, line.confidence) for line in screen.lines]
    return orjson.dumps({"width": screen.width, "height": screen.height, "lines": rows})


def _unpack(packed: bytes, ref: BlobRef) -> OcrResult:
    record: Mapping[str, object] = orjson.loads(packed)
    rows = record["lines"]
    assert isinstance(rows, list)  # noqa: S101 — written by _pack
    lines = tuple(
        RecognisedLine(text, Box(x0=x0, y0=y0, x1=x1, y1=y1), confidence) for text, x0, y0, x1, y1, confidence in rows
    )
    return OcrResult(ref, int(str(record["width"])), int(str(record["height"])), lines, memo_hit=True)
