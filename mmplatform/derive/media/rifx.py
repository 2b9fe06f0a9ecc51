"""WAV files in the other byte order (RIFX): FFmpeg reads their header, and decodes the samples in the wrong order."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from mmplatform.errors import Rejected

_PLAIN_TAGS: Final = frozenset({1, 3, 6, 7})
"""PCM, floats, A-law and µ-law: formats whose samples are numbers of one size."""
_MAX_SAMPLE_BYTES: Final = 8
_FORMAT_BYTES: Final = 16


def swap_byte_order(data: bytes) -> bytes:
    """The same samples as a RIFF file. Raises Rejected."""
    chunks = _read_chunks(data)
    head, samples = chunks.get(b"fmt ", b""), chunks.get(b"data", b"")
    if len(head) < _FORMAT_BYTES:
        raise Rejected("a WAV file in the other byte order (RIFX) without its header: send the complete file")
    tag, channels, rate, byte_rate, frame_bytes, bits = struct.unpack_from(">HHIIHH", head)
    size = bits // 8
    if tag not in _PLAIN_TAGS or not 1 <= size <= _MAX_SAMPLE_BYTES:
        raise Rejected(
            "a WAV file in the other byte order (RIFX) of an unusual format: convert it to WAV (RIFF) or FLAC"
        )
    count = len(samples) // size * size
    swapped = np.frombuffer(samples[:count], dtype=np.uint8).reshape(-1, size)[:, ::-1].tobytes()
    fields = struct.pack("<HHIIHH", tag, channels, rate, byte_rate, frame_bytes, bits)
    body = b"WAVEfmt " + struct.pack("<I", _FORMAT_BYTES) + fields + b"data" + struct.pack("<I", count) + swapped
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _read_chunks(data: bytes) -> dict[bytes, bytes]:
    """Content of the file's chunks by name; the last one may be cut off."""
    chunks: dict[bytes, bytes] = {}
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from(">4sI", data, position)
        chunks.setdefault(name, data[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return chunks
