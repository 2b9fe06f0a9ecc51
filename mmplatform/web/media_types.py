"""Media types: the accepted ones, their other names and file suffixes, and what to do with the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import Message
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
    "video/mp4": "audio/mp4",
    "audio/webm": "audio/webm",
    "video/webm": "audio/webm",
    "audio/aac": "audio/aac",
    "audio/aacp": "audio/aac",
    "audio/amr": "audio/amr",
    "audio/amr-wb": "audio/amr",
    "audio/3gpp2": "audio/mp4",
    "video/3gpp": "audio/mp4",
    "video/quicktime": "audio/mp4",
    "audio/x-matroska": "audio/webm",
    "video/x-matroska": "audio/webm",
    "audio/au": "audio/au",
    "audio/x-au": "audio/au",
    "audio/3gpp": "audio/mp4",
    "audio/aiff": "audio/aiff",
    "audio/x-aiff": "audio/aiff",
    "audio/x-caf": "audio/x-caf",
    "audio/basic": "audio/basic",
    "audio/pcmu": "audio/pcmu",
    "audio/pcma": "audio/pcma",
    "audio/l16": "audio/l16",
}
HEADERLESS_TYPES: Final = frozenset({"audio/basic", "audio/pcmu", "audio/pcma", "audio/l16"})
"""Samples without a header: the parameters ``rate`` and ``channels`` of the media type describe them."""

IMAGE_TYPES: Final[dict[str, str]] = {
    "image/png": "image/png",
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/webp": "image/webp",
    "image/avif": "image/avif",
    "image/gif": "image/gif",
    "image/bmp": "image/bmp",
    "image/x-ms-bmp": "image/bmp",
    "image/tiff": "image/tiff",
}
"""Accepted media types → the canonical name of each."""

_TYPE_BY_SUFFIX: Final = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "audio/mp4",
    ".3gp": "audio/mp4",
    ".webm": "audio/webm",
    ".aac": "audio/aac",
    ".amr": "audio/amr",
    ".aif": "audio/aiff",
    ".aiff": "audio/aiff",
    ".caf": "audio/x-caf",
    ".awb": "audio/amr",
    ".mov": "audio/mp4",
    ".mka": "audio/webm",
    ".mkv": "audio/webm",
    ".au": "audio/au",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
_NUMBER: Final = re.compile(r"[0-9]{1,6}")
_REMEDIES: Final = {
    "image/heic": "HEIC: convert it to PNG or JPEG",
    "image/heif": "HEIF: convert it to PNG or JPEG",
    "image/svg+xml": "SVG: export it as PNG",
    "image/jp2": "JPEG 2000: convert it to PNG or JPEG",
    "image/jxl": "JPEG XL: convert it to PNG or JPEG",
    "image/vnd.adobe.photoshop": "a Photoshop file: export it as PNG",
    "image/vnd.microsoft.icon": "an icon: export it as PNG",
    "image/icns": "an icon: export it as PNG",
    "image/jxr": "JPEG XR: convert it to PNG or JPEG",
    "image/vnd.ms-dds": "a DirectDraw texture: convert it to PNG",
    "image/qoi": "QOI: convert it to PNG",
    "image/x-xcf": "a GIMP file: export it as PNG",
    "image/x-pcx": "PCX: convert it to PNG",
    "image/x-exr": "OpenEXR: convert it to PNG",
    "image/wmf": "a Windows metafile: export it as PNG",
    "image/emf": "a Windows metafile: export it as PNG",
    "application/postscript": "PostScript: export it as PNG",
    "audio/x-w64": "Wave64: convert it to WAV or FLAC",
    "audio/midi": "MIDI, notes without sound: record it as WAV or FLAC",
    "audio/x-wavpack": "WavPack: convert it to WAV or FLAC",
    "audio/x-ape": "Monkey's Audio: convert it to WAV or FLAC",
    "audio/ac3": "Dolby AC-3: convert it to MP3, WAV or FLAC",
    "audio/silk": "SILK, a messenger's voice message: convert it to MP3, WAV or FLAC",
    "video/x-msvideo": "an AVI recording: convert its sound to MP3, WAV or FLAC",
    "video/x-flv": "a Flash recording: convert its sound to MP3, WAV or FLAC",
    "video/mp2t": "an MPEG transport stream: convert its sound to MP3, WAV or FLAC",
    "application/vnd.rar": "compressed by RAR: unpack it",
    "application/x-bzip2": "compressed by bzip2: unpack it",
    "application/x-xz": "compressed by xz: unpack it",
    "application/zstd": "compressed by Zstandard: unpack it",
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


def canonical_type(content_type: str, accepted_types: Mapping[str, str]) -> str | None:
    """Canonical name of a declared type; None when it is not accepted. A headerless one keeps its parameters."""
    message = Message()
    message["content-type"] = content_type
    name = accepted_types.get(content_type.split(";", 1)[0].strip().lower())
    if name not in HEADERLESS_TYPES:
        return name
    given = {key: str(message.get_param(key, "")) for key in ("rate", "channels")}
    return ";".join([name, *(f"{key}={value}" for key, value in given.items() if _NUMBER.fullmatch(value))])


def refused_type(declared: str) -> str:
    """Refusal of a declared type. Only a known type is repeated: a header may contain anything."""
    if not declared:
        return "the Content-Type is missing: declare the type of the bytes"
    if declared in _REMEDIES:
        return f"the media type is {format_remedy(declared)}"
    return "this media type is not accepted: convert the file, or correct the Content-Type"
