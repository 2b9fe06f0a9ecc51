"""Frames of MP3 and AAC (ADTS): found where a file begins in the middle of one, as a slice of a stream does.

Also the length that the first frame of an MP3 states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mmplatform.derive.media.signatures import ID3_HEAD, id3_bytes

_MIN_FRAMES: Final = 4
"""Frames in a row, each exactly behind the other: bytes that mean nothing have them by a chance of 1 in 10^9."""

_SEARCHED_BYTES: Final = 1 << 16
_HEAD: Final = 6
_MPEG1: Final = 3
_ID3V1_BYTES: Final = 128
_XING_BYTES: Final = 256
_XING_FIELDS: Final = ((1, 4), (2, 4), (4, 100), (8, 4))
_LAYER3: Final = 1
_LAYER2: Final = 2
_KBITS: Final = {
    (True, _LAYER2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, _LAYER3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def mpeg_rate(header: bytes) -> int:
    """Read the sample rate of an MPEG audio frame; 0 where the bytes are none."""
    if len(header) < 3 or header[0] != 0xFF or header[1] < 0xE0:  # noqa: PLR2004 — eleven set bits
        return 0
    return (44_100, 48_000, 32_000, 0)[header[2] >> 2 & 3] >> {_MPEG1: 0, 2: 1}.get(header[1] >> 3 & 3, 2)


def find_frames(head: bytes, media_type: str) -> int | None:
    """Find where frames of the type begin in the first bytes of a file."""
    frame_bytes = _FRAME_BYTES.get(media_type)
    if frame_bytes is None:
        return None
    start = head.find(0xFF, 0, _SEARCHED_BYTES)
    while start >= 0:
        if _is_run(head, start, frame_bytes):
            return start
        start = head.find(0xFF, start + 1, _SEARCHED_BYTES)
    return None


def _is_run(head: bytes, start: int, frame_bytes: Callable[[bytes], int]) -> bool:
    for _ in range(_MIN_FRAMES):
        size = frame_bytes(head[start : start + _HEAD])
        if not size:
            return False
        start += size
    return True


def _mp3_frame_bytes(header: bytes) -> int:
    """Compute the length of a frame of layer II or III; 0 where the bytes are none."""
    rate = mpeg_rate(header)
    version, layer = header[1] >> 3 & 3 if rate else 1, header[1] >> 1 & 3 if rate else 0
    rates = _KBITS.get((version == _MPEG1, layer), ())
    index = header[2] >> 4 if rate else 0
    if not rate or version == 1 or not 0 < index < len(rates):
        return 0
    slots = 144 if version == _MPEG1 or layer == _LAYER2 else 72
    return slots * rates[index] * 1000 // rate + (header[2] >> 1 & 1)


def _adts_frame_bytes(header: bytes) -> int:
    """Read the length of an AAC frame; 0 where the bytes are none."""
    if len(header) < _HEAD or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:  # noqa: PLR2004 — twelve set bits
        return 0
    return (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5


_FRAME_BYTES: Final[dict[str, Callable[[bytes], int]]] = {
    "audio/mpeg": _mp3_frame_bytes,
    "audio/aac": _adts_frame_bytes,
}


def xing_s(head: bytes) -> float | None:
    """Read the length that an MP3 states in its first frame (``Xing`` or ``Info``), less the encoder's padding.

    FFmpeg's own length is an estimate where files were joined.
    """
    start = 0
    if head[:3] == b"ID3" and len(head) > 10:  # noqa: PLR2004 — size of the tag's header
        start = 10 + id3_bytes(head)
    first = head[start : start + _XING_BYTES]
    found = find_xing(first)
    if found < 0 or len(first) < found + 12 or not first[found + 7] & 1:
        return None
    rate = mpeg_rate(first)
    flags = first[found + 7]
    padding = found + 8 + sum(size for bit, size in _XING_FIELDS if flags & bit) + 21
    trimmed = int.from_bytes(first[padding : padding + 3], "big")
    samples = int.from_bytes(first[found + 8 : found + 12], "big") * (1152 if first[1] >> 3 & 3 == _MPEG1 else 576)
    return max(0, samples - (trimmed >> 12) - (trimmed & 0xFFF)) / rate if rate else None


def without_tags(data: bytes) -> bytes:
    """Leave out the titles (ID3) at the beginning, which stand between files that were joined."""
    while data.startswith((b"ID3", b"TAG")):
        data = data[ID3_HEAD + id3_bytes(data) if data.startswith(b"ID3") else _ID3V1_BYTES :]
    return data


def find_xing(frame: bytes) -> int:
    """Find the header of an MP3 in its first frame, which has no audio; -1: none."""
    return max(frame[:_XING_BYTES].find(name) for name in (b"Xing", b"Info"))
