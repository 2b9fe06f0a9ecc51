"""Bytes of an image → its size (``probe``, for the gateway) or its pixels (``decode``, for the deriver).

Only the formats of browsers, telephones and scanners are opened, though Pillow reads more: the bytes are untrusted.
Both decode all pixels, so that the sender of a damaged upload can send it again, and nothing that the gateway accepts
is lost later. Pillow fills what is damaged in a JPEG with grey and says nothing, so libjpeg's own warnings decide
(simplejpeg).
"""

from __future__ import annotations

import io
import re
import threading
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmplatform.derive.media.flatten import flatten
from mmplatform.derive.media.signatures import HEAD_BYTES, identify
from mmplatform.errors import Rejected, TooLarge, UnsupportedMedia
from mmplatform.ports import RgbImage
from mmplatform.web.media_types import AUDIO_TYPES, format_remedy

MEDIA_TYPE_BY_FORMAT: Final = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}
_ALIASES: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_ACCEPTED_TYPES: Final = f"{', '.join(MEDIA_TYPE_BY_FORMAT.values())} are accepted"
_TRANSPOSED_ORIENTATIONS: Final = frozenset({5, 6, 7, 8})
_MIRRORED_ROWS: Final = frozenset({2, 3, 6, 7})
_MIRRORED_COLUMNS: Final = frozenset({3, 4, 7, 8})
_EXIF_ORIENTATION: Final = 0x0112
_JPEG_DAMAGE: Final = ("Corrupt JPEG data", "Premature end of JPEG")
_END_PADDING: Final = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
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
    """Check an upload by decoding it.

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
    pixels = decode(data, max_pixels)
    return ImageInfo(width=pixels.shape[1], height=pixels.shape[0], media_type=media_type, format=image_format)


class BoundedProbe:
    """:func:`probe` for a server: one large image is decoded at a time, small ones side by side.

    Args:
        max_pixels: pixels that are decoded at once; an image with more is decoded alone. A pixel takes 7 bytes.
    """

    def __init__(self, max_pixels: int = 16_000_000) -> None:
        self._max_pixels = max_pixels
        self._in_use = 0
        self._changed = threading.Condition()

    def __call__(self, data: bytes, declared_media_type: str, max_pixels: int) -> ImageInfo:
        """Check an upload, as :func:`probe`, once there is room for its pixels."""
        image, _ = _open(data, max_pixels)
        with image:
            needed = min(image.size[0] * image.size[1], self._max_pixels)
        with self._changed:
            self._changed.wait_for(lambda: self._in_use + needed <= self._max_pixels)
            self._in_use += needed
        try:
            return probe(data, declared_media_type, max_pixels)
        finally:
            with self._changed:
                self._in_use -= needed
                self._changed.notify_all()


def decode(data: bytes, max_pixels: int) -> RgbImage:
    """Decode as displayed: first frame, EXIF rotation applied, no transparency, RGB of shape (h, w, 3).

    Raises:
        UnsupportedMedia: no image of an accepted format.
        TooLarge: more than ``max_pixels``.
        Rejected: empty, truncated or damaged.
    """
    image, image_format = _open(data, max_pixels)
    with image:
        # Pillow turns a TIFF by itself.
        orientation = 1 if image_format == "TIFF" else _orientation(image)
        _check_complete(image, image_format, data)
    image, _ = _open(data, max_pixels)  # a verified PNG cannot be read further
    with image:
        try:
            image.load()
            pixels = flatten(image)
        except Exception:  # noqa: BLE001 — Pillow's decoders raise a dozen unrelated types on hostile bytes
            raise _damaged(image_format, data) from None
    return np.ascontiguousarray(_turn(pixels, orientation))


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
    except Exception:  # noqa: BLE001 — see decode
        raise Rejected("the image header cannot be read: the file is damaged; export it again") from None
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"the image has {width}x{height} pixels; at most {max_pixels} are accepted")
    if width < 1 or height < 1:
        raise Rejected(f"the image has {width}x{height} pixels")
    # A phone's JPEG with a second picture in it opens as MPO; its first frame is the JPEG.
    return image, "JPEG" if image.format == "MPO" else str(image.format)


_MAGICS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF")
_RECORDINGS: Final = ("audio/", "video/")


def _header_error(data: bytes) -> Rejected:
    found = identify(data[:HEAD_BYTES])
    if found in MEDIA_TYPE_BY_FORMAT.values():
        return Rejected(
            f"the header of this {found} file ({len(data)} bytes) is damaged, or of a variant that has no decoder: "
            "export it again, as PNG"
        )
    if found is None and any(data.startswith(magic[: len(data)]) for magic in _MAGICS):
        return Rejected(f"the image header is cut off or damaged ({len(data)} bytes)")
    if found in AUDIO_TYPES:
        content = f"the bytes are a recording ({found}), no image: send it as a chunk of a call"
    else:
        content = f"the bytes are {format_remedy(found)}" if found else "the bytes are not an image"
    return UnsupportedMedia(f"{content}: {_ACCEPTED_TYPES}")


def _check_complete(image: Image.Image, image_format: str, data: bytes) -> None:
    """Refuse a damaged file: PNG by its checksums, JPEG by its decoder's warnings, WebP by its stated length.

    The others state no end; their decoder decides.
    """
    complete = True
    if image_format == "PNG":
        try:
            image.verify()
        except Exception:  # noqa: BLE001 — see decode
            complete = False
    elif image_format == "JPEG":
        complete = not _is_damaged_jpeg(data)
    elif image_format == "WEBP":
        complete = len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if not complete:
        raise _damaged(image_format, data)


def _damaged(image_format: str, data: bytes) -> Rejected:
    return Rejected(f"the {image_format} image ({len(data)} bytes) is truncated or damaged: send it again")


def _is_damaged_jpeg(data: bytes) -> bool:
    """Check for the warnings of damaged data; other complaints (an unknown revision) do no harm to the picture."""
    import simplejpeg

    try:
        # At an eighth of its size all of the data is still read, in a fraction of the memory.
        simplejpeg.decode_jpeg(data, "GRAY", min_factor=8, strict=True)
    except ValueError as error:
        message = str(error)
        padding = _END_PADDING.search(message)
        if padding is not None and data.rstrip(b"\0")[:-2].endswith(bytes(int(padding[1]))):
            return False  # zeros before the end marker: a camera's padding
        return message.startswith(_JPEG_DAMAGE)
    return False


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8, from before the pixels; 1 when there is none or it is damaged."""
    try:
        # The base class's method: PNG's own decodes all pixels to search after them.
        return int(Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 — damaged metadata is no reason to refuse the picture
        return 1


def _turn(pixels: RgbImage, orientation: int) -> RgbImage:
    """Turn and mirror pixels as EXIF says."""
    if orientation in _TRANSPOSED_ORIENTATIONS:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in _MIRRORED_ROWS:
        pixels = pixels[:, ::-1]
    return pixels[::-1] if orientation in _MIRRORED_COLUMNS else pixels
