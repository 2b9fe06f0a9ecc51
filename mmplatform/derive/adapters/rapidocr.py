"""Pixels → lines of text with boxes, by RapidOCR (PP-OCRv6 on onnxruntime; the weights come inside its package)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmplatform.artifacts import Box
from mmplatform.derive.layout.reading_order import reading_order
from mmplatform.derive.layout.surfaces import find_overlay, find_surfaces, lines_in
from mmplatform.errors import Misconfigured
from mmplatform.ports import Pixels, ReadLine

_MAX_SIDE: Final = 2560
"""Longest side, in pixels, that is read at full size: time grows with the area, about 1 s a megapixel and thread."""
_OVERLAP: Final = 120
"""Pixels that two bands of a tall image share: more than a line of text, so that each line is whole in one of them."""
_LEAST_SIDE: Final = 6
"""Pixels below which no letter can be read."""
_PADDED_SIDE: Final = 64
"""Smaller images get a margin up to this, because the detector would blow a thin strip up to megapixels."""


@dataclass(frozen=True, slots=True)
class _View:
    """Rows ``top`` to ``bottom`` of the image are read; lines whose middle is in ``first`` to ``last`` are kept."""

    top: int
    bottom: int
    first: float
    last: float


class RapidReader:
    """:class:`mmplatform.ports.ScreenReader` on RapidOCR.

    The engine is built at the first call (or by :meth:`warm_up`) and is shared by threads under a lock: it is not
    reentrant, and onnxruntime has threads of its own.
    """

    name = "rapidocr"

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._engine: Any = None
        self._lock = threading.Lock()
        self.version = f"{package_version('rapidocr')}+ppocrv6-small"

    def warm_up(self) -> None:
        """Load the models and run them once: the first call takes seconds.

        Raises:
            Misconfigured: the package's models are missing.
        """
        canvas = np.full((64, 256, 3), 255, dtype=np.uint8)
        canvas[24:40, 40:200:6] = 0
        with self._lock:
            self._run(canvas)

    def read(self, image: Pixels) -> list[ReadLine]:
        """Lines in reading order, boxes upright and in pixels of ``image``; a dialog's lines before the page behind it.

        Raises:
            Misconfigured: the package's models are missing.
        """
        height, width = image.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return []
        lines: list[ReadLine] = []
        with self._lock:
            for view in _views(height, width):
                band = self._read_view(image[view.top : view.bottom])
                moved = (_shifted(line, view.top) for line in band)
                lines += [line for line in moved if view.first <= (line.box.y0 + line.box.y1) / 2 < view.last]
        return _ordered(image, lines)

    def _read_view(self, image: Pixels) -> list[ReadLine]:
        import cv2

        height, width = image.shape[:2]
        scale = min(1.0, _MAX_SIDE / max(height, width))
        seen: Any = image
        if scale < 1.0:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            seen = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        least = max(_PADDED_SIDE, max(seen.shape[:2]) // 8)
        seen = cv2.copyMakeBorder(
            seen, 0, max(0, least - seen.shape[0]), 0, max(0, least - seen.shape[1]), cv2.BORDER_REPLICATE
        )
        return [
            ReadLine(text=text, box=box, confidence=confidence)
            for text, quadrangle, confidence in self._run(seen)
            if (box := _upright(quadrangle / scale, height, width)) is not None
        ]

    def _run(self, image: Pixels) -> list[tuple[str, Any, float]]:
        if self._engine is None:
            self._engine = self._load()
        found = self._engine(np.ascontiguousarray(image[:, :, ::-1]))  # it expects blue, green, red
        if not getattr(found, "txts", None):
            return []
        return [
            (text.strip(), np.asarray(box, dtype=np.float64), min(1.0, max(0.0, float(score))))
            for text, box, score in zip(found.txts, found.boxes, found.scores, strict=True)
            if text.strip()
        ]

    def _load(self) -> Any:
        import rapidocr
        from omegaconf import flag_override

        models = Path(rapidocr.__file__).parent / "models"
        lines, words = (models / f"PP-OCRv6_{part}_small.onnx" for part in ("det", "rec"))
        if not (lines.exists() and words.exists()):
            # Without this check it would try to download them.
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
            with flag_override(part, "allow_objects", True):  # it takes sessions of its caller's, out of its settings
                part.session = _session(model, self._threads)
        return engine


def _session(model: Path, threads: int) -> Any:
    """A thread that has nothing to do sleeps: by default it spins, which a busy neighbour pays for.

    Eight screens with two threads: 9.6 s instead of 10.1 s with the machine idle, but 21 s instead of 15 s with one of
    two cores taken.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _views(height: int, width: int) -> Iterator[_View]:
    """The image in one piece, or a tall one (a page scrolled and stitched) in bands, so that it need not be shrunk."""
    if height <= max(_MAX_SIDE, 2 * width):
        yield _View(0, height, 0.0, float("inf"))
        return
    band = max(width, _MAX_SIDE // 2)
    starts = list(range(0, max(1, height - _OVERLAP), band - _OVERLAP))
    for k, top in enumerate(starts):
        last = float("inf") if k == len(starts) - 1 else top + band - _OVERLAP / 2
        yield _View(top, min(height, top + band), 0.0 if k == 0 else top + _OVERLAP / 2, last)


def _shifted(line: ReadLine, down: int) -> ReadLine:
    if not down:
        return line
    box = line.box
    return ReadLine(line.text, Box(x0=box.x0, y0=box.y0 + down, x1=box.x1, y1=box.y1 + down), line.confidence)


def _upright(quadrangle: Any, height: int, width: int) -> Box | None:
    """The upright box around four corners, cut to the image; None where nothing of it is left."""
    x0, y0 = (float(value) for value in quadrangle.min(axis=0))
    x1, y1 = (float(value) for value in quadrangle.max(axis=0))
    x0, y0, x1, y1 = max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1)
    return Box(x0=x0, y0=y0, x1=x1, y1=y1) if x1 > x0 and y1 > y0 else None


def _ordered(image: Pixels, lines: list[ReadLine]) -> list[ReadLine]:
    if not lines:
        return []
    overlay = find_overlay(image, find_surfaces(image, lines))
    front = set(lines_in(overlay, lines)) if overlay else set()
    ordered: list[ReadLine] = []
    for group in ([i for i in range(len(lines)) if i in front], [i for i in range(len(lines)) if i not in front]):
        order = reading_order([lines[i].box for i in group])
        ordered += [lines[group[k]] for k in order]
    return ordered
