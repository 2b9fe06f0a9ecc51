"""Media types of audio: which are accepted, under which names, and how their bytes begin."""

from __future__ import annotations

from typing import Final

SNIFF_BYTES: Final = 16
_MPEG_SYNC: Final = 0xFFE0
_MPEG_LAYER: Final = 0x0006
DEMUXERS: Final[dict[str, str]] = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/mp4": "mp4",
    "audio/webm": "webm",
}
ALIASES: Final[dict[str, str]] = {
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-flac": "audio/flac",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
}
HEADERLESS: Final = ("audio/basic", "audio/l16")


def sniff(head: bytes) -> str | None:
    """Detect the media type by the first 16 bytes; None when it is not accepted."""
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return "audio/wav"
    if head[4:8] == b"ftyp":
        return "audio/mp4"
    # An MPEG frame: eleven set bits, and a layer (AAC in ADTS has none).
    sync = int.from_bytes(head[:2], "big")
    if head[:3] == b"ID3" or (sync & _MPEG_SYNC == _MPEG_SYNC and sync & _MPEG_LAYER):
        return "audio/mpeg"
    magic = {b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"\x1a\x45\xdf\xa3": "audio/webm"}
    return magic.get(head[:4])
