"""Screens that are hard to read: few words on a large one, on their side or head, drawn on nothing."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmplatform.ports import RgbImage

_SIZE: Final = (1920, 1080)
_WORDS: Final = ("Declined", "Offline", "Checkout", "Refunded", "Unavailable", "Loading", "Expired", "Invoice")
_LINES: Final = (
    "Your session has expired, please sign in again",
    "The payment could not be completed",
    "No parcels were found for this order",
    "Connection lost: trying again in 5 seconds",
    "Access denied. Contact your administrator",
    "Your basket is empty",
)
_LINE_PX: Final = 14
_WORD_PX: Final = (18, 24, 32)
_COLOURS: Final = (("white", "black"), ("#202020", "#c8c8c8"), ("#f4f1ea", "#5a5a5a"), ("#0b3d91", "white"))
"""Ground and ink."""


def sparse_screens(count: int, seed: int) -> Iterator[tuple[str, RgbImage]]:
    """Yield screens of 1920 by 1080 with one word, or one line of 14 px, and its text; half of them by each."""
    chance = random.Random(seed)
    for number in range(count):
        is_word = number % 2 == 0
        text = chance.choice(_WORDS if is_word else _LINES)
        size = chance.choice(_WORD_PX) if is_word else _LINE_PX
        ground, ink = _COLOURS[number // 2 % len(_COLOURS)]
        image = Image.new("RGB", _SIZE, ground)
        draw = ImageDraw.Draw(image)
        font = _font(number // 2 % 2, size)
        width, height = draw.textbbox((0, 0), text, font=font)[2:]
        corner = (chance.randrange(8, int(_SIZE[0] - width - 8)), chance.randrange(8, int(_SIZE[1] - height - 8)))
        draw.text(corner, text, font=font, fill=ink)
        yield text, np.array(image, dtype=np.uint8)


def _font(kind: int, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if kind == 0:
        return ImageFont.load_default(size=size)
    import matplotlib as mpl

    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _drawn_on_nothing(grey: Image.Image, ink: int) -> Image.Image:
    """Draw what differs from the most frequent shade in one colour, the more opaque the more it differs."""
    shades = np.asarray(grey, dtype=np.int16)
    difference = np.abs(shades - _dominant_shade(grey))
    alpha = np.clip(difference * 255.0 / max(int(difference.max()), 1), 0, 255).astype(np.uint8)
    filled = np.full_like(alpha, ink)
    return Image.fromarray(np.stack([filled, filled, filled, alpha], axis=-1), "RGBA")


def _with_transparent_colour(grey: Image.Image) -> Image.Image:
    """Make the most frequent shade the transparent colour of a palette (``tRNS``)."""
    shade = _dominant_shade(grey)
    image = grey.convert("P")
    image.info["transparency"] = shade
    return image


def _dominant_shade(grey: Image.Image) -> int:
    return int(np.argmax(grey.histogram()))


TRANSPARENCIES: Final[dict[str, Callable[[Image.Image], Image.Image]]] = {
    "white on nothing": lambda grey: _drawn_on_nothing(grey, 255),
    "black on nothing": lambda grey: _drawn_on_nothing(grey, 0),
    "a palette with a transparent colour": _with_transparent_colour,
}


def transparent_png(path: Path, kind: str) -> bytes:
    """Encode a screenshot as a drawing without its background, in one of ``TRANSPARENCIES``."""
    with Image.open(path) as image:
        grey = image.convert("L")
    out = io.BytesIO()
    TRANSPARENCIES[kind](grey).save(out, "PNG")
    return out.getvalue()
