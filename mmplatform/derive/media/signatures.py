"""Media type by a file's first bytes, also of types that are not accepted: a refusal names what it got."""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 512
_ISO_BRANDS: Final = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic",
    b"hevx": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
}
_PREFIXES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\x00\x00\x00\x0cjP  ", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL ", "image/jxl"),
    (b"\x00\x00\x01\x00", "image/vnd.microsoft.icon"),
    (b".snd", "audio/au"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "audio/x-ms-wma"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/vnd.ms-office"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"PAR1", "application/vnd.apache.parquet"),
)
_AUDIO_PREFIXES: Final = {
    b"fLaC": "audio/flac",
    b"OggS": "audio/ogg",
    b"\x1a\x45\xdf\xa3": "audio/webm",
    b"#!AM": "audio/amr",
    b"caff": "audio/x-caf",
}
_MPEG_SYNC: Final = 0xFFE0
_MPEG_LAYER: Final = 0x0006
_ADTS_MASK: Final = 0xFFF6
_ADTS_SYNC: Final = 0xFFF0
_TEXT_PREFIXES: Final = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")


def identify(head: bytes) -> str | None:
    """Media type of a file that begins with these bytes; None for text and for what has no signature."""
    if head.startswith(_TEXT_PREFIXES):  # the mark of UTF-16 would pass for an MPEG frame
        return None
    found = _container_type(head) or next((kind for prefix, kind in _PREFIXES if head.startswith(prefix)), None)
    return found or _audio_type(head)


def _container_type(head: bytes) -> str | None:
    """Types whose signature is not a prefix alone."""
    found = None
    if head[4:8] == b"ftyp":
        found = _ISO_BRANDS.get(head[8:12])
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        found = "image/webp"
    elif head[:2] == b"BM" and head[6:10] == bytes(4):
        found = "image/bmp"
    elif _is_svg(head):
        found = "image/svg+xml"
    return found


def _audio_type(head: bytes) -> str | None:
    if head[:4] in {b"RIFF", b"RIFX", b"RF64"} and head[8:12] == b"WAVE":
        return "audio/wav"
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return "audio/aiff"
    if head[4:8] == b"ftyp":
        return "audio/mp4"
    # An MPEG frame: eleven set bits, and a layer (AAC in ADTS has none).
    sync = int.from_bytes(head[:2], "big")
    if head[:3] == b"ID3" or (sync & _MPEG_SYNC == _MPEG_SYNC and sync & _MPEG_LAYER):
        return "audio/mpeg"
    return "audio/aac" if sync & _ADTS_MASK == _ADTS_SYNC else _AUDIO_PREFIXES.get(head[:4])


def _is_svg(head: bytes) -> bool:
    start = head.lstrip()
    return start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in head)
