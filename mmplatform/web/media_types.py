"""Media types: the accepted ones, their other names and file suffixes, and what to do with the others."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

AUDIO_TYPES: Final[dict[str, str]] = {
    "audio/wav": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mpeg": "audio/mpeg",
    "audio/mp3": "audio/mpeg",
    "audio/flac": "audio/flac",
    "audio/x-flac": "audio/flac",
    "audio/ogg": "audio/ogg",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/mp4": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
}
IMAGE_TYPES: Final[dict[str, str]] = {
    "image/png": "image/png",
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/webp": "image/webp",
}
"""Accepted media types → the canonical name of each."""

_TYPE_BY_SUFFIX: Final = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_REMEDIES: Final = {
    "image/heic": "HEIC: convert it to PNG or JPEG",
    "image/heif": "HEIF: convert it to PNG or JPEG",
    "image/svg+xml": "SVG: export it as PNG",
    "image/jp2": "JPEG 2000: convert it to PNG or JPEG",
    "image/jxl": "JPEG XL: convert it to PNG or JPEG",
    "image/vnd.adobe.photoshop": "a Photoshop file: export it as PNG",
    "image/vnd.microsoft.icon": "an icon: export it as PNG",
    "image/gif": "GIF: convert it to PNG or JPEG",
    "image/bmp": "BMP: convert it to PNG or JPEG",
    "image/tiff": "TIFF: convert it to PNG or JPEG",
    "image/avif": "AVIF: convert it to PNG or JPEG",
    "audio/amr": "AMR: convert it to WAV, FLAC or Ogg",
    "audio/aac": "AAC without a container: convert it to M4A, WAV or FLAC",
    "audio/aiff": "AIFF: convert it to WAV or FLAC",
    "audio/au": "a Sun audio file: convert it to WAV or FLAC",
    "audio/x-caf": "a Core Audio file: convert it to M4A, WAV or FLAC",
    "audio/x-ms-wma": "Windows Media: convert it to MP3, WAV or FLAC",
    "application/pdf": "a PDF: send its pages as PNG",
    "application/zip": "a ZIP or Office file: unpack it; of a workbook, save the sheet as CSV",
    "application/gzip": "compressed by gzip: unpack it",
    "application/x-7z-compressed": "compressed by 7-Zip: unpack it",
    "application/vnd.ms-office": "an Office file: save the sheet as CSV",
    "application/vnd.sqlite3": "an SQLite database: export the table as CSV",
    "application/vnd.apache.parquet": "a Parquet file: export it as CSV or JSON Lines",
}


def media_type_from_name(name: str) -> str | None:
    """Media type by a file name's suffix; None for unsupported ones."""
    return _TYPE_BY_SUFFIX.get(PurePath(name).suffix.lower())


def format_remedy(media_type: str) -> str:
    """Name of a format that is not accepted, and what to do; the media type itself where it has no row here."""
    return _REMEDIES.get(media_type, f"{media_type}: convert it to an accepted format")


def refused_type(declared: str) -> str:
    """Refusal of a declared type. Only a known type is repeated: a header may contain anything."""
    if not declared:
        return "the Content-Type is missing: declare the type of the bytes"
    if declared in _REMEDIES:
        return f"the media type is {format_remedy(declared)}"
    return "this media type is not accepted: convert the file, or correct the Content-Type"
