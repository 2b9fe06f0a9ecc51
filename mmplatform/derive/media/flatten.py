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
    for top in range(0, height, _BAND_ROWS):
        band = image.crop((0, top, width, min(height, top + _BAND_ROWS)))
        pixels[top : top + _BAND_ROWS] = _band_to_rgb(band, background)
    return pixels


def _band_to_rgb(band: Image.Image, background: int) -> RgbImage:
    if band.mode.startswith("I"):
        # 16 bits a sample: Pillow's conversion would clip everything above 255 to white.
        high_byte = (np.asarray(band, dtype=np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(high_byte[..., None], 3, axis=2)
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
