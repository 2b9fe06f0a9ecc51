"""Packets of an audio file → its frames in order, with a hole of the right length where packets cannot be decoded.

A decoder drops damaged packets, so that all later audio would come too early and nothing would show the loss. A hole's
length comes from the best that the container offers: the frame's own number (FLAC), time stamps (Ogg, MP4, WebM), the
bytes that were skipped (MP3), and at the end the length that the header states.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mmplatform.errors import Rejected, TooLarge

MAX_HOLE_S: Final = 600.0
"""A longer jump is a damaged time stamp, not missing audio."""

_MAX_MISSING_SHARE: Final = 0.5
_TAIL_TOLERANCE_S: Final = 0.05
_TAIL_TOLERANCE_FRAMES: Final = 3
"""An encoder's padding, which a header counts or not."""

_STAMP_TOLERANCE_S: Final = {"flac": 1e-4, "ogg": 0.005, "mp4": 0.05, "webm": 0.1}
"""Steps of time stamps that are no holes: those of WebM come from a recorder's clock, in milliseconds."""

_EXACT_LENGTH: Final = frozenset({"wav", "flac"})
_RECENT_PACKETS: Final = 16
_FLAC_SYNC: Final = 0xFFF8
_OGG_HEAD: Final = 14
_XING_BYTES: Final = 256
_XING_FIELDS: Final = ((1, 4), (2, 4), (4, 100), (8, 4))
_MPEG1: Final = 3
_MPEG2: Final = 2


@dataclass(frozen=True, slots=True)
class Hole:
    """Stretch that cannot be decoded; ``at_end``: the file stops before the length that it states."""

    seconds: float
    at_end: bool = False


def frames_and_holes(
    container: Any, stream: Any, head: bytes, stated_s: float | None, max_s: float | None
) -> Iterator[Any]:
    """Yield PyAV's frames and :class:`Hole` in order.

    Args:
        container: opened by PyAV.
        stream: its audio stream.
        head: the first bytes of the file.
        stated_s: length by the file's header, where the caller knows it.
        max_s: a longer file is refused.

    Raises:
        TooLarge: it is longer than ``max_s``.
        Rejected: nothing can be decoded, more than half cannot, or samples are NaN.
    """
    timeline = _Timeline(stream, str(container.format.name).split(",", 1)[0], head)
    if stated_s is None:
        stated_s = _stated_s(container, stream, timeline.container, head)
    for item in timeline.items(_packets(container, stream, stated_s)):
        if max_s is not None and timeline.position_s > max_s:
            raise TooLarge(f"audio of over {max_s:.0f} s in one file: split it")
        yield item
    if not timeline.decoded_s:
        raise Rejected("audio without samples: nothing could be decoded")
    tail_s = max(timeline.pending_s, (stated_s or 0.0) - timeline.position_s)
    if timeline.tail_tolerance_s < tail_s <= MAX_HOLE_S:
        timeline.missing_s += tail_s
        yield Hole(tail_s, at_end=True)
    total_s = timeline.decoded_s + timeline.missing_s
    if timeline.missing_s > _MAX_MISSING_SHARE * total_s:
        raise Rejected(
            f"damaged audio: {timeline.missing_s:.2f} of {total_s:.2f} s cannot be decoded; send the whole file again"
        )


class _Timeline:
    """Position of the decoded audio in the file, in seconds."""

    def __init__(self, stream: Any, container: str, head: bytes) -> None:
        self.container = {"matroska": "webm", "mov": "mp4"}.get(container, container)
        self.position_s = self.decoded_s = self.missing_s = self.pending_s = 0.0
        self._origin_s: float | None = 0.0 if self.container == "flac" and _flac_total(head) else None
        self._stream = stream
        self._sizes: deque[int] = deque(maxlen=_RECENT_PACKETS)
        self._frame_s = 0.0
        self._floats_are_stored = str(stream.codec_context.name).startswith("pcm_")

    @property
    def tail_tolerance_s(self) -> float:
        """Seconds that may lack at the end without being lost."""
        if self.container in _EXACT_LENGTH:
            return 0.01
        return max(_TAIL_TOLERANCE_S, _TAIL_TOLERANCE_FRAMES * self._frame_s)

    def items(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Yield frames, and a hole before each that comes later than it should."""
        import av

        for packet in packets:
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self._add_damaged(packet)
                continue
            for frame in frames:
                if self.container == "mp3":
                    # Where the rate changes, FFmpeg gives the first frame the rate of the one before.
                    frame.sample_rate = _mpeg_rate(bytes(packet)[:4]) or frame.sample_rate
                if not self._is_finite(frame):
                    self.pending_s += frame.samples / frame.sample_rate
                    continue
                hole_s = self._hole_s(self._stamp_s(packet, frame))
                self.pending_s = 0.0
                if hole_s > 0:
                    self.missing_s += hole_s
                    self.position_s += hole_s
                    yield Hole(hole_s)
                self._frame_s = frame.samples / frame.sample_rate
                self.position_s += self._frame_s
                self.decoded_s += self._frame_s
                yield frame
            if frames and packet.size:
                self._sizes.append(packet.size)

    def _add_damaged(self, packet: Any) -> None:
        """Count a packet that cannot be decoded: an MP3 parser puts all bytes up to the next good frame into one."""
        if self.container == "mp3" and _find_xing(bytes(packet)[:_XING_BYTES]) >= 0:
            return  # where files were joined: the header of the second one, without audio
        duration_s = float(packet.duration * packet.time_base) if packet.duration else self._frame_s
        if self.container == "mp3" and self._sizes:
            duration_s *= round(packet.size * len(self._sizes) / sum(self._sizes))
        self.pending_s += duration_s

    def _hole_s(self, stamp_s: float | None) -> float:
        """Compute the length of the hole before a frame."""
        if stamp_s is None:
            return self.pending_s
        if self._origin_s is None:
            self._origin_s = stamp_s - self.pending_s
        hole_s = stamp_s - self._origin_s - self.position_s
        if hole_s > MAX_HOLE_S:
            return self.pending_s
        return hole_s if hole_s > _STAMP_TOLERANCE_S[self.container] else self.pending_s

    def _stamp_s(self, packet: Any, frame: Any) -> float | None:
        if self.container not in _STAMP_TOLERANCE_S:
            return None
        if self.container == "flac":
            first = _flac_first_sample(bytes(packet)[:16], self._stream.codec_context.extradata or b"")
            return None if first is None else first / frame.sample_rate
        return None if frame.pts is None else float(frame.pts * frame.time_base)

    def _is_finite(self, frame: Any) -> bool:
        """Check float samples. Raises Rejected where the file itself stores NaN; a decoder makes it of damage."""
        if not frame.format.name.startswith(("flt", "dbl")) or np.isfinite(frame.to_ndarray()).all():
            return True
        if self._floats_are_stored:
            raise Rejected("audio with NaN or infinite samples")
        return False


def _packets(container: Any, stream: Any, stated_s: float | None) -> Iterator[Any]:
    """Read packets; where the container breaks off, the stated length shows what is missing."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            if stated_s is None:
                raise
            return
        if packet is None:
            return
        yield packet


def _stated_s(container: Any, stream: Any, name: str, head: bytes) -> float | None:
    """Read the length that the file's header states; None when there is none, since FFmpeg then makes an estimate."""
    readers: dict[str, Callable[[], float | None]] = {
        "flac": lambda: _flac_total(head) / stream.rate,
        "mp3": lambda: _xing_s(head),
        "mp4": lambda: float(stream.duration * stream.time_base) if stream.duration else None,
        "webm": lambda: container.duration / 1e6 if container.duration else None,
    }
    stated_s = readers[name]() if name in readers else None
    return stated_s if stated_s and 0 < stated_s <= MAX_HOLE_S else None


def ogg_stated_s(data: bytes, rate: int) -> float | None:
    """Read the time at the end of the last page, whole or cut, less that at which the first audio begins."""
    last = data.rfind(b"OggS")
    if last < 0 or last + _OGG_HEAD > len(data):
        return None
    granule = int(struct.unpack_from("<q", data, last + 6)[0])
    opus = data.find(b"OpusHead", 0, 4096)
    skipped, clock = (int.from_bytes(data[opus + 10 : opus + 12], "little"), 48_000) if opus >= 0 else (0, rate)
    return (granule - skipped) / clock if granule > skipped else None


def _flac_total(head: bytes) -> int:
    """Read the number of samples of a FLAC file; 0: unknown, as of a stream."""
    if head[:4] != b"fLaC" or len(head) < 26:  # noqa: PLR2004 — end of the field
        return 0
    return int.from_bytes(head[21:26], "big") & 0xF_FFFF_FFFF


def _flac_first_sample(packet: bytes, stream_info: bytes) -> int | None:
    """Read the number of a FLAC frame's first sample: its header has that, or the number of the frame."""
    if len(packet) < 12 or len(stream_info) < 4 or int.from_bytes(packet[:2], "big") & 0xFFFE != _FLAC_SYNC:  # noqa: PLR2004
        return None
    first = packet[4]
    more = (8 - (first ^ 0xFF).bit_length() if first != 0xFF else 8) - 1  # noqa: PLR2004 — coded as in UTF-8
    number = first & (0x7F if more < 1 else 0x7F >> (more + 1))
    for byte in packet[5 : 5 + max(0, more)]:
        number = number << 6 | byte & 0x3F
    return number if packet[1] & 1 else number * int.from_bytes(stream_info[:2], "big")


def _xing_s(head: bytes) -> float | None:
    """Read the length that an MP3 states in its first frame (``Xing`` or ``Info``), less the encoder's padding.

    FFmpeg's own length is an estimate where files were joined.
    """
    start = 0
    if head[:3] == b"ID3" and len(head) > 10:  # noqa: PLR2004 — size of the tag's header
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    first = head[start : start + _XING_BYTES]
    found = _find_xing(first)
    if found < 0 or len(first) < found + 12 or not first[found + 7] & 1:
        return None
    rate = _mpeg_rate(first)
    flags = first[found + 7]
    padding = found + 8 + sum(size for bit, size in _XING_FIELDS if flags & bit) + 21
    trimmed = int.from_bytes(first[padding : padding + 3], "big")
    samples = int.from_bytes(first[found + 8 : found + 12], "big") * (1152 if first[1] >> 3 & 3 == _MPEG1 else 576)
    return max(0, samples - (trimmed >> 12) - (trimmed & 0xFFF)) / rate if rate else None


def _find_xing(frame: bytes) -> int:
    return max(frame.find(b"Xing"), frame.find(b"Info"))


def _mpeg_rate(header: bytes) -> int:
    """Read the sample rate of an MPEG audio frame; 0 where the bytes are none."""
    if len(header) < 3 or header[0] != 0xFF or header[1] < 0xE0:  # noqa: PLR2004 — eleven set bits
        return 0
    return (44_100, 48_000, 32_000, 0)[header[2] >> 2 & 3] >> {_MPEG1: 0, _MPEG2: 1}.get(header[1] >> 3 & 3, 2)
