"""Bytes of an image → its size (``probe``, for the gateway) or its pixels (``decode``, for the deriver).

Only PNG, JPEG and WebP are opened, though Pillow reads more: the bytes are untrusted. ``probe`` reads the header and
walks the container to its end without decompressing a pixel, so that the sender of a truncated upload can send it
again. ``decode`` may still refuse an image for its pixels.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmplatform.errors import Rejected, TooLarge, UnsupportedMedia
from mmplatform.ports import RgbImage

MEDIA_TYPE_BY_FORMAT: Final = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_ALIASES: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_ACCEPTED_TYPES: Final = "image/png, image/jpeg and image/webp are accepted"
_TRANSPOSED_ORIENTATIONS: Final = frozenset({5, 6, 7, 8})
_EXIF_ORIENTATION: Final = 0x0112
PILLOW_MAX_PIXELS: Final = 178_956_970
"""Pixels above which Pillow itself refuses, whatever the setting."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Fields of the header. ``width`` and ``height`` are pixels as displayed: after the EXIF rotation."""

    width: int
    height: int
    media_type: str
    format: str


def probe(data: bytes, declared_media_type: str, max_pixels: int) -> ImageInfo:
    """Check an upload without decoding it.

    Args:
        data: the whole file.
        declared_media_type: the sender's declaration; must match the bytes. Parameters after ``;`` are ignored.
        max_pixels: limit of width times height.

    Raises:
        UnsupportedMedia: the declared type is not accepted, or the bytes are of another type.
        TooLarge: more than ``max_pixels``.
        Rejected: empty, truncated or damaged.
    """
    declared = declared_media_type.split(";", 1)[0].strip().lower()
    declared = _ALIASES.get(declared, declared)
    if declared not in MEDIA_TYPE_BY_FORMAT.values():
        raise UnsupportedMedia(f"no decoder for this media type: {_ACCEPTED_TYPES}")
    image, image_format = _open(data, max_pixels)
    with image:
        media_type = MEDIA_TYPE_BY_FORMAT[image_format]
        if media_type != declared:
            raise UnsupportedMedia(f"declared as {declared}, but the bytes are {media_type}: declare what is sent")
        width, height = image.size
        if _orientation(image) in _TRANSPOSED_ORIENTATIONS:
            width, height = height, width
        _check_complete(image, image_format, data)
    return ImageInfo(width=width, height=height, media_type=media_type, format=image_format)


def decode(data: bytes, max_pixels: int) -> RgbImage:
    """Decode as displayed: first frame, EXIF rotation applied, transparency over white, RGB of shape (h, w, 3).

    Raises:
        UnsupportedMedia: no PNG, JPEG or WebP.
        TooLarge: more than ``max_pixels``.
        Rejected: empty, truncated or damaged.
    """
    image, image_format = _open(data, max_pixels)
    with image:
        try:
            image.load()
            upright = _apply_exif_rotation(_flatten_on_white(image))
        except Exception as error:  # noqa: BLE001 — Pillow's decoders raise a dozen unrelated types on hostile bytes
            raise Rejected(
                f"the {image_format} image ({len(data)} bytes) does not decode ({type(error).__name__}): "
                "truncated or damaged"
            ) from None
    return np.array(upright, dtype=np.uint8)


def _open(data: bytes, max_pixels: int) -> tuple[Image.Image, str]:
    """Parse the header, and check the pixel limit before anything is decompressed."""
    if not data:
        raise Rejected("the image is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data), formats=list(MEDIA_TYPE_BY_FORMAT))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLarge(
            f"the image has more pixels than are accepted (at most {min(max_pixels, PILLOW_MAX_PIXELS)})"
        ) from None
    except UnidentifiedImageError:
        raise _header_error(data) from None
    except Exception as error:  # noqa: BLE001 — see decode
        raise Rejected(f"the image header cannot be read ({type(error).__name__}): the file is damaged") from None
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"the image has {width}x{height} pixels; at most {max_pixels} are accepted")
    if width < 1 or height < 1:
        raise Rejected(f"the image has {width}x{height} pixels")
    # A phone's JPEG with a second picture in it opens as MPO; its first frame is the JPEG.
    return image, "JPEG" if image.format == "MPO" else str(image.format)


_MAGICS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF")


def _header_error(data: bytes) -> Rejected:
    if any(data.startswith(magic[: len(data)]) for magic in _MAGICS):
        return Rejected(f"the image header is cut off or damaged ({len(data)} bytes)")
    return UnsupportedMedia(f"the bytes are not an accepted image: {_ACCEPTED_TYPES}")


def _check_complete(image: Image.Image, image_format: str, data: bytes) -> None:
    """Refuse a file that stops early: PNG by its checksums, JPEG by its end marker, WebP by its stated length."""
    complete = True
    if image_format == "PNG":
        try:
            image.verify()
        except Exception:  # noqa: BLE001 — see decode
            complete = False
    elif image_format == "JPEG":
        # Anywhere after the start of the scan: phones append whole videos to a picture.
        complete = data.rfind(b"\xff\xd9") > data.find(b"\xff\xda")
    else:
        complete = len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if not complete:
        raise Rejected(f"the {image_format} image is truncated or damaged ({len(data)} bytes)")


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8, from before the pixels; 1 when there is none or it is damaged."""
    try:
        # The base class's method: PNG's own decodes all pixels to search after them.
        return int(Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 — damaged metadata is no reason to refuse the picture
        return 1


def _apply_exif_rotation(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 — see _orientation
        return image


def _flatten_on_white(image: Image.Image) -> Image.Image:
    """Convert any mode of the three formats to RGB."""
    if image.mode.startswith("I"):
        # 16 bits a sample: Pillow's conversion would clip everything above 255 to white.
        high_byte = (np.asarray(image, dtype=np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return Image.fromarray(high_byte).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    flat = Image.alpha_composite(white, rgba).convert("RGB")
    flat.info.update(rgba.info)  # the EXIF rotation follows
    return flat
