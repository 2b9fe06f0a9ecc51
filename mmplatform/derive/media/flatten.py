"""Any mode of an image → RGB; what is transparent gets the colour against which the drawing is visible.

White on white is the usual loss: a dark theme's icon or text, exported without its background.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmplatform.ports import RgbImage

_BAND_ROWS: Final = 256
"""Rows converted at once, so that a large image does not lie in memory four times."""

_WIDE_MODES: Final = "IF"
_SCALES: Final = (1.0, 255.0, 65_535.0, 2.0**31)
_TRANSPARENT: Final = 64
_MIN_TRANSPARENT_SHARE: Final = 0.005
_REACH: Final = 2
"""Pixels from transparency in which a drawing shows: those of thin letters."""

_MIN_CONTRAST: Final = 64
_BACKGROUNDS: Final = (255, 0, 128)
_MARGIN: Final = 0.1
"""Share of the drawing that must become visible before another background than white is chosen."""

_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def flatten(image: Image.Image) -> RgbImage:
    """Convert a loaded image to RGB of shape (h, w, 3)."""
    width, height = image.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    background = _choose_background(image) if image.has_transparency_data else 255
    if image.mode[0] in _WIDE_MODES:
        image = _to_grey(image)
    for top in range(0, height, _BAND_ROWS):
        band = image.crop((0, top, width, min(height, top + _BAND_ROWS)))
        pixels[top : top + _BAND_ROWS] = _band_to_rgb(band, background)
    return pixels


def _to_grey(image: Image.Image) -> Image.Image:
    """Convert samples of 16 or 32 bits, or floats, to 8 bits; Pillow's own conversion would clip them to white.

    The largest sample shows the scale: a file of 32 bits may use 8 or 16 of them, and floats may end at 1 or at 255.
    """
    samples = np.asarray(image)
    peak = float(samples.max(initial=0)) if samples.dtype != np.uint16 else float(_SCALES[-2])
    scale = next((scale for scale in _SCALES if peak <= scale), peak)
    if samples.dtype.kind != "f":
        scale = max(scale, _SCALES[1])
    return Image.fromarray(np.nan_to_num(samples / scale * 255.0).round().clip(0, 255).astype(np.uint8))


def _band_to_rgb(band: Image.Image, background: int) -> RgbImage:
    if not band.has_transparency_data:
        return np.asarray(band.convert("RGB"), dtype=np.uint8)
    rgba = band.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, (background,) * 3 + (255,))
    return np.asarray(Image.alpha_composite(ground, rgba).convert("RGB"), dtype=np.uint8)


def _choose_background(image: Image.Image) -> int:
    """Choose white, unless much less of the drawing would vanish before black, or before grey."""
    lumas, transparent = np.zeros(256), 0
    width, height = image.size
    for top in range(0, height, _BAND_ROWS):
        band = image.crop((0, top, width, min(height, top + _BAND_ROWS)))
        rgba = np.asarray(band.convert("RGBA"))
        is_transparent = rgba[..., 3] < _TRANSPARENT
        transparent += int(is_transparent.sum())
        drawn = ~is_transparent & _widen(is_transparent)
        luma = (rgba[..., :3][drawn] @ _LUMA).astype(np.uint8)
        lumas += np.bincount(luma, minlength=256)
    if transparent < _MIN_TRANSPARENT_SHARE * width * height or not lumas.sum():
        return _BACKGROUNDS[0]
    levels = np.arange(256)
    vanishing = [float(lumas[np.abs(levels - ground) < _MIN_CONTRAST].sum() / lumas.sum()) for ground in _BACKGROUNDS]
    if vanishing[0] <= min(vanishing) + _MARGIN:
        return _BACKGROUNDS[0]
    return _BACKGROUNDS[vanishing.index(min(vanishing))]


def _widen(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Add the pixels within reach of a mask, in its rows and columns."""
    wide = mask.copy()
    for step in range(1, _REACH + 1):
        wide[step:] |= mask[:-step]
        wide[:-step] |= mask[step:]
        wide[:, step:] |= mask[:, :-step]
        wide[:, :-step] |= mask[:, step:]
    return wide
