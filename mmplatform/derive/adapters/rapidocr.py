"""Pixels → lines of text with boxes, by RapidOCR (PP-OCRv6 on onnxruntime; its package contains the weights)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmplatform.derive.layout.ink import find_ink
from mmplatform.derive.layout.reading_order import reading_order
from mmplatform.derive.layout.surfaces import find_overlay, find_surfaces, lines_in
from mmplatform.derive.layout.turning import is_more_legible, turn_back, turns_to_try
from mmplatform.errors import Misconfigured
from mmplatform.locators import Box
from mmplatform.ports import RecognisedLine, RgbImage

_MAX_SIDE: Final = 2560
"""Longest side, in pixels, read at full size: time grows with the area, about 1 s per megapixel and thread."""
_OVERLAP: Final = 120
"""Pixels that two bands of a tall image share: more than a line of text, so that each line is whole in one of them."""
_MIN_SIDE: Final = 6
"""Pixels below which no letter can be read."""
_RULES_VERSION: Final = "2"
"""Increased whenever other lines are read from the same pixels, so that no memo answers for another rule."""

_SPARSE_LINES: Final = 8
"""Lines below which ink without a line is read by itself."""
_MIN_INK_CONFIDENCE: Final = 0.85
_MIN_INK_LETTERS: Final = 2
_LINE_HEIGHT: Final = 48
"""Height, in pixels, to which the recogniser scales a line."""
_PADDED_SIDE: Final = 64
"""Smaller images get a margin up to this, because the detector would blow a thin strip up to megapixels."""


@dataclass(frozen=True, slots=True)
class _Band:
    """Rows ``top`` to ``bottom`` of the image; only lines whose centre is in ``keep_from`` to ``keep_to`` are used."""

    top: int
    bottom: int
    keep_from: float
    keep_to: float


class RapidReader:
    """:class:`mmplatform.ports.OcrEngine` on RapidOCR.

    The first call or :meth:`warm_up` builds the engine. Threads share it under a lock: it is not reentrant, and
    onnxruntime has threads of its own.
    """

    name = "rapidocr"

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._engine: Any = None
        self._lock = threading.Lock()
        self.version = f"{package_version('rapidocr')}+ppocrv6-small-r{_RULES_VERSION}"

    def warm_up(self) -> None:
        """Load the models and run each of them once.

        The detector runs without the engine, which enlarges a small image to 736 x 2944 pixels: 3.6 s of processor. The
        first screenshot then takes 0.1 s more than the second one.

        Raises:
            Misconfigured: the package's models are missing.
        """
        line = np.full((_LINE_HEIGHT, 4 * _LINE_HEIGHT, 3), 255, dtype=np.uint8)
        with self._lock:
            engine = self._load_once()
            engine(line, use_det=False, use_cls=False, use_rec=True)
            detector = engine.cfg.Det.session
            pixels = np.zeros((1, 3, _PADDED_SIDE, _PADDED_SIDE), dtype=np.float32)
            detector.run(None, {detector.get_inputs()[0].name: pixels})

    def read(self, image: RgbImage) -> list[RecognisedLine]:
        """Read lines in reading order, boxes upright and in pixels of ``image``; a dialog before the page behind it.

        An image that lies on its side or head is read as turned.

        Raises:
            Misconfigured: the package's models are missing.
        """
        height, width = image.shape[:2]
        if min(height, width) < _MIN_SIDE:
            return []
        with self._lock:
            best = self._read_upright(image)
            found = [(line, 0) for line in best]
            for turns in turns_to_try(best):
                lines = self._read_upright(np.ascontiguousarray(np.rot90(image, turns)))
                if is_more_legible(lines, best):
                    best, found = lines, [(line, turns) for line in lines]
                if not turns_to_try(best):
                    break
        return [turn_back(line, turns, width, height) if turns else line for line, turns in found]

    def _read_upright(self, image: RgbImage) -> list[RecognisedLine]:
        height, width = image.shape[:2]
        lines: list[RecognisedLine] = []
        for band in _bands(height, width):
            found = self._read_band(image[band.top : band.bottom])
            shifted = (_shift_down(line, band.top) for line in found)
            lines += [line for line in shifted if band.keep_from <= (line.box.y0 + line.box.y1) / 2 < band.keep_to]
        if len(lines) < _SPARSE_LINES:
            lines += [line for box in find_ink(image, lines) if (line := self._read_line(image, box)) is not None]
        return _in_reading_order(image, lines)

    def _read_line(self, image: RgbImage, box: Box) -> RecognisedLine | None:
        """Recognise a stretch of ink as one line; None when that is doubtful: it may be a picture."""
        crop = image[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        found = self._load_once()(np.ascontiguousarray(crop[:, :, ::-1]), use_det=False, use_cls=False, use_rec=True)
        text, score = (str(found.txts[0]).strip(), float(found.scores[0])) if found.txts else ("", 0.0)
        if score < _MIN_INK_CONFIDENCE or sum(c.isalnum() for c in text) < _MIN_INK_LETTERS:
            return None
        return RecognisedLine(text, box, min(1.0, score))

    def _read_band(self, image: RgbImage) -> list[RecognisedLine]:
        import cv2

        height, width = image.shape[:2]
        scale = min(1.0, _MAX_SIDE / max(height, width))
        scaled: Any = image
        if scale < 1.0:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        min_side = max(_PADDED_SIDE, max(scaled.shape[:2]) // 8)
        scaled = cv2.copyMakeBorder(
            scaled, 0, max(0, min_side - scaled.shape[0]), 0, max(0, min_side - scaled.shape[1]), cv2.BORDER_REPLICATE
        )
        return [
            RecognisedLine(text=text, box=box, confidence=confidence)
            for text, quadrangle, confidence in self._run(scaled)
            if (box := _upright_box(quadrangle / scale, height, width)) is not None
        ]

    def _run(self, image: RgbImage) -> list[tuple[str, Any, float]]:
        # The engine expects blue, green, red, and stores the switches of the call before.
        found = self._load_once()(np.ascontiguousarray(image[:, :, ::-1]), use_det=True, use_cls=False, use_rec=True)
        if not getattr(found, "txts", None):
            return []
        return [
            (text.strip(), np.asarray(box, dtype=np.float64), min(1.0, max(0.0, float(score))))
            for text, box, score in zip(found.txts, found.boxes, found.scores, strict=True)
            if text.strip()
        ]

    def _load_once(self) -> Any:
        if self._engine is None:
            self._engine = self._load()
        return self._engine

    def _load(self) -> Any:
        import rapidocr
        from omegaconf import flag_override

        models = Path(rapidocr.__file__).parent / "models"
        lines, words = (models / f"PP-OCRv6_{part}_small.onnx" for part in ("det", "rec"))
        if not (lines.exists() and words.exists()):
            # Without this check RapidOCR would try to download them.
            raise Misconfigured(f"the OCR models are missing in {models}: reinstall the package rapidocr")
        engine = rapidocr.RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.max_side_len": _MAX_SIDE,
                "Global.log_level": "critical",
                # A batch is padded to its widest line: one by one costs a quarter less.
                "Rec.rec_batch_num": 1,
            }
        )
        for part, model in ((engine.cfg.Det, lines), (engine.cfg.Rec, words)):
            with flag_override(part, "allow_objects", True):  # allows a session of the caller's as a setting
                part.session = _session(model, self._threads)
        return engine


def _session(model: Path, threads: int) -> Any:
    """Build a session whose idle threads sleep: by default they spin, at the cost of busy neighbours.

    Eight screens with two threads take 9.6 s spinning and 10.1 s sleeping on an idle machine, but 21 s and 15 s with
    one of two cores busy.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Each width of a line would leave buffers of its own: 14 lines across 5120 px took 330 MB more for good.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _bands(height: int, width: int) -> Iterator[_Band]:
    """Yield the image in one piece, or a tall one (a stitched page) in bands, so that it is not scaled down."""
    if height <= max(_MAX_SIDE, 2 * width):
        yield _Band(0, height, 0.0, float("inf"))
        return
    band_height = max(width, _MAX_SIDE // 2)
    starts = list(range(0, max(1, height - _OVERLAP), band_height - _OVERLAP))
    for k, top in enumerate(starts):
        keep_to = float("inf") if k == len(starts) - 1 else top + band_height - _OVERLAP / 2
        yield _Band(top, min(height, top + band_height), 0.0 if k == 0 else top + _OVERLAP / 2, keep_to)


def _shift_down(line: RecognisedLine, down: int) -> RecognisedLine:
    if not down:
        return line
    box = line.box
    return RecognisedLine(line.text, Box(x0=box.x0, y0=box.y0 + down, x1=box.x1, y1=box.y1 + down), line.confidence)


def _upright_box(quadrangle: Any, height: int, width: int) -> Box | None:
    """Compute the upright box around four corners, clipped to the image; None where nothing is left."""
    x0, y0 = (float(value) for value in quadrangle.min(axis=0))
    x1, y1 = (float(value) for value in quadrangle.max(axis=0))
    x0, y0, x1, y1 = max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1)
    return Box(x0=x0, y0=y0, x1=x1, y1=y1) if x1 > x0 and y1 > y0 else None


def _in_reading_order(image: RgbImage, lines: list[RecognisedLine]) -> list[RecognisedLine]:
    if not lines:
        return []
    overlay = find_overlay(image, find_surfaces(image, lines))
    front = set(lines_in(overlay, lines)) if overlay else set()
    ordered: list[RecognisedLine] = []
    for group in ([i for i in range(len(lines)) if i in front], [i for i in range(len(lines)) if i not in front]):
        order = reading_order([lines[i].box for i in group])
        ordered += [lines[group[k]] for k in order]
    return ordered
