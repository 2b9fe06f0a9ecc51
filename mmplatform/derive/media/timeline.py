"""Packets of an audio file → its frames in order, with a hole of the right length where packets cannot be decoded.

A decoder drops damaged packets, so that all later audio would come too early and nothing would show the loss. A hole's
length comes from the best that the container offers: the frame's own number (FLAC), time stamps (Ogg, MP4, WebM), the
bytes that were skipped (MP3), and at the end the length that the header states.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mmplatform.derive.media import caf
from mmplatform.derive.media.mpeg_frames import find_xing, mpeg_rate, without_tags, xing_s
from mmplatform.errors import Rejected

MAX_HOLE_S: Final = 600.0
"""A longer jump is a damaged time stamp, not missing audio."""

NOTHING_DECODED: Final = "audio without samples: nothing could be decoded"
_TAIL_TOLERANCE_S: Final = 0.05
_TAIL_TOLERANCE_FRAMES: Final = 3
"""An encoder's padding, which a header counts or not."""

_STAMP_TOLERANCE_S: Final = {"flac": 1e-4, "ogg": 0.005, "mp4": 0.05, "webm": 0.1}
"""Steps of time stamps that are no holes: those of WebM come from a recorder's clock, in milliseconds."""

_EXACT_LENGTH: Final = frozenset({"wav", "flac", "aiff", "au", "caf"})
_RECENT_PACKETS: Final = 16
_FLAC_SYNC: Final = 0xFFF8


@dataclass(frozen=True, slots=True)
class Hole:
    """Stretch that cannot be decoded; ``at_end``: the file stops before the length that it states."""

    seconds: float
    at_end: bool = False


def frames_and_holes(container: Any, stream: Any, head: bytes, stated_s: float | None) -> Iterator[Any]:
    """Yield PyAV's frames and :class:`Hole` in order.

    Args:
        container: opened by PyAV.
        stream: its audio stream.
        head: the first bytes of the file.
        stated_s: length by the file's header, where the caller knows it.

    Raises:
        Rejected: nothing can be decoded and no length is stated, or samples are NaN.
    """
    timeline = _Timeline(stream, _short_name(container), head)
    if stated_s is None:
        stated_s = _stated_s(container, stream, timeline.container, head)
    yield from timeline.items(_packets(container, stream, stated_s))
    tail_s = max(timeline.pending_s, (stated_s or 0.0) - timeline.position_s)
    if timeline.tail_tolerance_s < tail_s <= MAX_HOLE_S:
        yield Hole(tail_s, at_end=True)
    elif not timeline.decoded_s:
        raise Rejected(NOTHING_DECODED)


def is_empty(container: Any, stream: Any, head: bytes) -> bool:
    """Check for a file without any packet whose header states no length; a packet that cannot be read counts."""
    import av

    if _stated_s(container, stream, _short_name(container), head):
        return False
    try:
        return not any(packet.size for packet in container.demux(stream))
    except av.error.FFmpegError:
        return False


class _Timeline:
    """Position of the decoded audio in the file, in seconds."""

    def __init__(self, stream: Any, container: str, head: bytes) -> None:
        self.container = container
        self.position_s = self.decoded_s = self.pending_s = 0.0
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
                    frame.sample_rate = mpeg_rate(bytes(packet)[:4]) or frame.sample_rate
                if not self._is_finite(frame):
                    self.pending_s += frame.samples / frame.sample_rate
                    continue
                hole_s = self._hole_s(self._stamp_s(packet, frame))
                self.pending_s = 0.0
                if hole_s > 0:
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
        size = packet.size
        if self.container == "mp3":
            data = without_tags(bytes(packet))
            if not data or find_xing(data) >= 0:
                return  # where files were joined: the title and header of the second one, without audio
            size = len(data)
        duration_s = float(packet.duration * packet.time_base) if packet.duration else self._frame_s
        if self.container == "mp3" and self._sizes:
            duration_s *= round(size * len(self._sizes) / sum(self._sizes))
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


def _short_name(container: Any) -> str:
    """Name a container by one word of FFmpeg's list."""
    name = str(container.format.name).split(",", 1)[0]
    return {"matroska": "webm", "mov": "mp4"}.get(name, name)


def _stated_s(container: Any, stream: Any, name: str, head: bytes) -> float | None:
    """Read the length that the file's header states; None when there is none, since FFmpeg then makes an estimate."""

    def by_stream() -> float | None:
        return float(stream.duration * stream.time_base) if stream.duration else None

    readers: dict[str, Callable[[], float | None]] = {
        "aiff": by_stream,
        "au": by_stream,
        "caf": lambda: caf.stated_s(head),
        "flac": lambda: _flac_total(head) / stream.rate,
        "mp3": lambda: xing_s(head),
        "mp4": by_stream,
        "webm": lambda: container.duration / 1e6 if container.duration else None,
    }
    stated_s = readers[name]() if name in readers else None
    return stated_s if stated_s and 0 < stated_s <= MAX_HOLE_S else None


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
