"""Ogg by hand: chained recordings, and the length that a recording states.

A chained file is several recordings one after the other, as internet radio and resumed recorders write them. FFmpeg
reads only those that have the codec and channels of the first one, and reports the others as the end of the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

_CAPTURE: Final = b"OggS"
_HEAD: Final = 27
_GRANULE_END: Final = 14
_FIRST_PAGE: Final = re.compile(rb"OggS\x00[\x02\x06]\x00{8}")
"""A page that begins a stream, perhaps its only one, at the time 0."""

_OPUS_CLOCK: Final = 48_000
_OPUS_HEAD: Final = b"OpusHead"
_VORBIS_HEAD: Final = b"\x01vorbis"
_HEAD_REACH: Final = 4096


def link_starts(data: bytes) -> Iterator[int]:
    """Find each later recording of a chained file: by its first page, since the page before it may be cut off."""
    heading_end = 0
    for found in _FIRST_PAGE.finditer(data):
        start = found.start()
        if start and start != heading_end:  # the first pages of a recording's streams stand together
            yield start
        segments = data[start + _HEAD - 1] if start + _HEAD <= len(data) else 0
        heading_end = start + _HEAD + segments + sum(data[start + _HEAD : start + _HEAD + segments])


def stated_s(data: bytes, rate: int = 0) -> float | None:
    """Read the time at the end of the last page, whole or cut, less that at which the first audio begins.

    Args:
        data: the file.
        rate: ticks of a second, in Hz, for codecs other than Opus and Vorbis; 0: unknown.
    """
    last = data.rfind(_CAPTURE)
    if last < 0 or last + _GRANULE_END > len(data):
        return None
    granule = int(struct.unpack_from("<q", data, last + 6)[0])
    skipped, clock = _start_and_clock(data, rate)
    return (granule - skipped) / clock if clock and granule > skipped else None


def _start_and_clock(data: bytes, rate: int) -> tuple[int, int]:
    """Read the position of the first audio, and the ticks in a second."""
    opus = data.find(_OPUS_HEAD, 0, _HEAD_REACH)
    if opus >= 0:
        return int.from_bytes(data[opus + 10 : opus + 12], "little"), _OPUS_CLOCK
    vorbis = data.find(_VORBIS_HEAD, 0, _HEAD_REACH)
    return 0, int.from_bytes(data[vorbis + 12 : vorbis + 16], "little") if vorbis >= 0 else rate
