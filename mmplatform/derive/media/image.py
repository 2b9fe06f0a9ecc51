"""Bytes of an image → its size (``probe``, for the gateway) or its pixels (``decode``, for the deriver).

Only PNG, JPEG and WebP are opened, whatever else Pillow could read: a narrow door for bytes from strangers. ``probe``
reads the header and walks the container to its end without decompressing a pixel, so that a truncated upload is refused
while its sender is still there to send it again; ``decode`` may still refuse what only shows in the pixels.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmplatform.errors import Rejected, TooLarge, UnsupportedMedia
from mmplatform.ports import Pixels

MEDIA_TYPE_OF_FORMAT: Final = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_ALIASES: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_TAKEN: Final = "image/png, image/jpeg and image/webp are taken"
_TRANSPOSED_ORIENTATIONS: Final = frozenset({5, 6, 7, 8})
_EXIF_ORIENTATION: Final = 0x0112
PILLOW_LIMIT: Final = 178_956_970
"""Pixels above which Pillow itself refuses, whatever our setting says."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header says. ``width`` and ``height`` are pixels as displayed: after the EXIF rotation."""

    width: int
    height: int
    media_type: str
    format: str


def probe(data: bytes, declared_media_type: str, max_pixels: int) -> ImageInfo:
    """Check an upload without decoding it.

    Args:
        data: the whole file.
        declared_media_type: what the sender says it is; must be what it is. Parameters after ``;`` are ignored.
        max_pixels: width times height must not be over it.

    Raises:
        UnsupportedMedia: the declared type is not taken, or the bytes are of another type.
        TooLarge: more than ``max_pixels``.
        Rejected: empty, truncated or damaged.
    """
    declared = declared_media_type.split(";", 1)[0].strip().lower()
    declared = _ALIASES.get(declared, declared)
    if declared not in MEDIA_TYPE_OF_FORMAT.values():
        raise UnsupportedMedia(f"no decoder for this media type: {_TAKEN}")
    image, found = _open(data, max_pixels)
    with image:
        media_type = MEDIA_TYPE_OF_FORMAT[found]
        if media_type != declared:
            raise UnsupportedMedia(f"declared as {declared}, but the bytes are {media_type}: declare what is sent")
        width, height = image.size
        if _orientation(image) in _TRANSPOSED_ORIENTATIONS:
            width, height = height, width
        _check_whole(image, found, data)
    return ImageInfo(width=width, height=height, media_type=media_type, format=found)


def decode(data: bytes, max_pixels: int) -> Pixels:
    """The pixels as displayed: first frame, EXIF rotation applied, transparency over white, RGB of shape (h, w, 3).

    Raises:
        UnsupportedMedia: no PNG, JPEG or WebP.
        TooLarge: more than ``max_pixels``.
        Rejected: empty, truncated or damaged.
    """
    image, found = _open(data, max_pixels)
    with image:
        try:
            image.load()
            upright = _upright(_over_white(image))
        except Exception as error:  # noqa: BLE001 — Pillow's decoders raise a dozen unrelated types on hostile bytes
            raise Rejected(
                f"the {found} image ({len(data)} bytes) does not decode ({type(error).__name__}): truncated or damaged"
            ) from None
    return np.array(upright, dtype=np.uint8)


def _open(data: bytes, max_pixels: int) -> tuple[Image.Image, str]:
    """Parse the header, and hold the bomb limit against it before anything is decompressed."""
    if not data:
        raise Rejected("the image is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data), formats=list(MEDIA_TYPE_OF_FORMAT))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLarge(f"the image has more pixels than are taken (at most {min(max_pixels, PILLOW_LIMIT)})") from None
    except UnidentifiedImageError:
        raise _unreadable(data) from None
    except Exception as error:  # noqa: BLE001 — see decode
        raise Rejected(f"the image header cannot be read ({type(error).__name__}): the file is damaged") from None
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"the image has {width}x{height} pixels; at most {max_pixels} are taken")
    if width < 1 or height < 1:
        raise Rejected(f"the image has {width}x{height} pixels")
    # A phone's JPEG with a second picture in it opens as MPO; its first frame is the JPEG.
    return image, "JPEG" if image.format == "MPO" else str(image.format)


_MAGICS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF")


def _unreadable(data: bytes) -> Rejected:
    if any(data.startswith(magic[: len(data)]) for magic in _MAGICS):
        return Rejected(f"the image header is cut off or damaged ({len(data)} bytes)")
    return UnsupportedMedia(f"the bytes are no image that is taken: {_TAKEN}")


def _check_whole(image: Image.Image, found: str, data: bytes) -> None:
    """Refuse a file that stops early: PNG by its checksums, JPEG by its end marker, WebP by its stated length."""
    whole = True
    if found == "PNG":
        try:
            image.verify()
        except Exception:  # noqa: BLE001 — see decode
            whole = False
    elif found == "JPEG":
        # Anywhere behind the start of the scan: phones append whole videos to a picture.
        whole = data.rfind(b"\xff\xd9") > data.find(b"\xff\xda")
    else:
        whole = len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if not whole:
        raise Rejected(f"the {found} image is truncated or damaged ({len(data)} bytes)")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8, from what stands before the pixels; 1 when there is none or it is damaged."""
    try:
        # The base class's method: PNG's own would decode all pixels to look behind them.
        return int(Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 — damaged metadata is no reason to refuse the picture
        return 1


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 — see _orientation
        return image


def _over_white(image: Image.Image) -> Image.Image:
    """Any mode that the three formats know → RGB."""
    if image.mode.startswith("I"):
        # 16 bits a sample: Pillow's conversion would clip everything above 255 to white.
        high_byte = (np.asarray(image, dtype=np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return Image.fromarray(high_byte).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    flat = Image.alpha_composite(white, rgba).convert("RGB")
    flat.info.update(rgba.info)  # the EXIF rotation is still to come
    return flat
