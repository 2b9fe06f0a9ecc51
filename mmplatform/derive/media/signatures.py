"""Media type by a file's first bytes, also of types that are not accepted: a refusal names what it got."""

from __future__ import annotations

from typing import Final

from mmplatform.derive.media.audio import sniff

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
    (b"#!AMR", "audio/amr"),
    (b".snd", "audio/au"),
    (b"caff", "audio/x-caf"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "audio/x-ms-wma"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/vnd.ms-office"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"PAR1", "application/vnd.apache.parquet"),
)
_TEXT_PREFIXES: Final = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
_ADTS_MASK: Final = 0xFFF6
_ADTS_SYNC: Final = 0xFFF0


def identify(head: bytes) -> str | None:
    """Media type of a file that begins with these bytes; None for text and for what has no signature."""
    if head.startswith(_TEXT_PREFIXES):  # the mark of UTF-16 would pass for an MPEG frame
        return None
    found = _container_type(head) or next((kind for prefix, kind in _PREFIXES if head.startswith(prefix)), None)
    return found or sniff(head)


def _container_type(head: bytes) -> str | None:
    """Types whose signature is not a prefix alone."""
    found = None
    if head[4:8] == b"ftyp":
        found = _ISO_BRANDS.get(head[8:12])
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        found = "image/webp"
    elif head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        found = "audio/aiff"
    elif head[:2] == b"BM" and head[6:10] == bytes(4):
        found = "image/bmp"
    elif int.from_bytes(head[:2], "big") & _ADTS_MASK == _ADTS_SYNC:
        found = "audio/aac"
    elif _is_svg(head):
        found = "image/svg+xml"
    return found


def _is_svg(head: bytes) -> bool:
    start = head.lstrip()
    return start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in head)
