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
    (b"icns", "image/icns"),
    (b"II\xbc\x01", "image/jxr"),
    (b"DDS \x7c\x00\x00\x00", "image/vnd.ms-dds"),
    (b"qoif", "image/qoi"),
    (b"gimp xcf", "image/x-xcf"),
    (b"\x0a\x05\x01", "image/x-pcx"),
    (b"\x76\x2f\x31\x01", "image/x-exr"),
    (b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (b"%!PS", "application/postscript"),
    (b"riff\x2e\x91\xcf\x11", "audio/x-w64"),
    (b"MThd", "audio/midi"),
    (b"wvpk", "audio/x-wavpack"),
    *((b"MAC " + (version * 10).to_bytes(2, "little"), "audio/x-ape") for version in range(380, 400)),
    (b"\x0b\x77", "audio/ac3"),
    (b"#!SILK", "audio/silk"),
    (b"\x02#!SILK", "audio/silk"),
    (b"FLV\x01", "video/x-flv"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
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
_RIFF_TYPES: Final = {b"AVI ": "video/x-msvideo", b"WEBP": "image/webp", b"RMID": "audio/midi"}
_QUICKTIME: Final = frozenset({b"moov", b"mdat", b"wide"})
_TRANSPORT_STREAM: Final = (188, 0x47, 5)
_EMF: Final = (b"\x01\x00\x00\x00", b" EMF", 40)
ID3_HEAD: Final = 10
_TITLED_TYPES: Final = frozenset({"audio/flac", "audio/aac"})
_MPEG_SYNC: Final = 0xFFE0
_MPEG_LAYER: Final = 0x0006
_ADTS_MASK: Final = 0xFFF6
_ADTS_SYNC: Final = 0xFFF0
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_BEFORE_SVG: Final = (b"<?xml", b"<!--", b"<!DOCTYPE")
_TEXT_PREFIXES: Final = (b"\xff\xfe", b"\xfe\xff", _UTF8_BOM)


def identify(head: bytes) -> str | None:
    """Media type of a file that begins with these bytes; None for text and for what has no signature."""
    if head.startswith(_TEXT_PREFIXES) and not _is_svg(head):  # the mark of UTF-16 would pass for an MPEG frame
        return None
    found = _container_type(head) or next((kind for prefix, kind in _PREFIXES if head.startswith(prefix)), None)
    return found or _audio_type(head) or ("video/mp2t" if _is_transport_stream(head) else None)


def _is_transport_stream(head: bytes) -> bool:
    """True for packets of 188 bytes, each with its sync byte ``G``; five of them, since a text has a ``G`` too."""
    size, sync, packets = _TRANSPORT_STREAM
    return len(head) > size * (packets - 1) and all(head[size * packet] == sync for packet in range(packets))


def _container_type(head: bytes) -> str | None:
    """Types whose signature is not a prefix alone."""
    found = None
    if head[4:8] == b"ftyp":
        found = _ISO_BRANDS.get(head[8:12])
    elif head[:4] == b"RIFF":
        found = _RIFF_TYPES.get(head[8:12])
    elif head.startswith(_EMF[0]) and head[_EMF[2] : _EMF[2] + 4] == _EMF[1]:
        found = "image/emf"
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
    if head[4:8] == b"ftyp" or head[4:8] in _QUICKTIME:
        return "audio/mp4"
    # An MPEG frame: eleven set bits, and a layer (AAC in ADTS has none).
    sync = int.from_bytes(head[:2], "big")
    if head[:3] == b"ID3":
        return _titled_type(head)
    if sync & _MPEG_SYNC == _MPEG_SYNC and sync & _MPEG_LAYER:
        return "audio/mpeg"
    return "audio/aac" if sync & _ADTS_MASK == _ADTS_SYNC else _AUDIO_PREFIXES.get(head[:4])


def _titled_type(head: bytes) -> str:
    """Type behind a title in ID3; MP3 where the title is longer than the given bytes."""
    body = ID3_HEAD + id3_bytes(head)
    found = _audio_type(head[body:]) if head[body : body + 3] not in {b"", b"ID3"} else None
    return found if found in _TITLED_TYPES else "audio/mpeg"


def id3_bytes(head: bytes) -> int:
    """Read the length of an ID3 title behind its header of 10 bytes: four times 7 bits."""
    return sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))


def _is_svg(head: bytes) -> bool:
    start = head[:HEAD_BYTES].removeprefix(_UTF8_BOM).lstrip()
    return start.startswith(b"<svg") or (start.startswith(_BEFORE_SVG) and b"<svg" in start)
