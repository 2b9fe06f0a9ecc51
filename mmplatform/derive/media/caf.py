"""CAF by hand: the length that the header of uncompressed samples states, which FFmpeg shortens to what is present."""

from __future__ import annotations

import struct
from typing import Final

_FILE_HEAD: Final = 8
_CHUNK_HEAD: Final = 12
_EDIT_COUNT: Final = 4
"""Bytes of the data chunk before its samples."""


def stated_s(head: bytes) -> float | None:
    """Read the length in seconds; None for packets of various sizes, and for a stream that states no size."""
    rate, packet_bytes, packet_frames = 0.0, 0, 0
    position = _FILE_HEAD
    while position + _CHUNK_HEAD <= len(head):
        name, size = struct.unpack_from(">4sq", head, position)
        body = position + _CHUNK_HEAD
        if name == b"desc" and body + 24 <= len(head):
            rate, packet_bytes, packet_frames = struct.unpack_from(">d8xII", head, body)
        if name == b"data":
            is_stated = packet_bytes and packet_frames and rate > 0 and size > _EDIT_COUNT
            return (size - _EDIT_COUNT) / packet_bytes * packet_frames / rate if is_stated else None
        if size < 0:
            return None
        position = body + size
    return None
