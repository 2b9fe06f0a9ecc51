"""Opens audio by PyAV: the type is checked by the first bytes, the demuxer is named, and the limits are applied."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, Final, Protocol

from mmplatform.derive.media.audio_advice import ADVICE, decoding_fault
from mmplatform.derive.media.audio_types import ALIASES, DEMUXERS, HEADERLESS
from mmplatform.derive.media.rifx import swap_byte_order
from mmplatform.derive.media.signatures import HEAD_BYTES, identify
from mmplatform.derive.media.timeline import Hole, frames_and_holes, ogg_stated_s
from mmplatform.derive.media.wav import add_header, complete_header
from mmplatform.errors import Rejected, UnsupportedMedia

MAX_CHANNELS: Final = 8
MAX_SECONDS: Final = 600.0
"""Decoding stops here: a few megabytes of well-compressed silence last for days."""

SAMPLE_RATE_RANGE: Final = (4_000, 192_000)
_LIVE_HEAD_BYTES: Final = 16
_HEAD_BYTES: Final = 1 << 20
"""Bytes of a file in which its header lies, behind an MP3's title and cover."""

_MAX_REWRITTEN_BYTES: Final = 1 << 28
"""A larger WAV file is read as it is, though its header states no length."""


class LiveAudio(Protocol):
    """A recording that is still being made: ``read`` waits for more, and returns nothing at its end."""

    def peek(self, size: int) -> bytes:
        """The first bytes, without consuming them."""

    def read(self, size: int) -> bytes:
        """At most ``size`` more bytes."""


@dataclass(frozen=True, slots=True)
class OpenedAudio:
    """Open file: PyAV's container and audio stream, its first bytes, and the length that its header states."""

    container: Any
    stream: Any
    head: bytes
    stated_s: float | None

    def items(self, max_s: float | None) -> Iterator[Any]:
        """Yield frames and holes, each checked against the limits."""
        for item in frames_and_holes(self.container, self.stream, self.head, self.stated_s, max_s):
            if not isinstance(item, Hole):
                _check_limits(int(item.sample_rate), channel_count(item))
            yield item


@contextmanager
def open_bytes(data: bytes, media_type: str) -> Iterator[OpenedAudio]:
    """Open the container and its audio stream; the bytes must be of the declared type."""
    content_type = Message()
    content_type["content-type"] = media_type
    base_type = media_type.split(";", 1)[0].strip().lower()
    base_type = ALIASES.get(base_type, base_type)
    if base_type not in DEMUXERS and base_type not in HEADERLESS:
        accepted = ", ".join(sorted((*DEMUXERS, *HEADERLESS)))
        raise UnsupportedMedia(f"audio of type {base_type[:100] or 'unknown'} is not accepted: send {accepted}")
    if not data:
        raise Rejected("audio of zero bytes: send the complete file")
    if base_type in HEADERLESS:
        data = add_header(data, base_type, content_type, max_channels=MAX_CHANNELS, rates=SAMPLE_RATE_RANGE)
        base_type = "audio/wav"
    with open_stream(data, base_type) as opened:
        yield opened


@contextmanager
def open_stream(source: Path | bytes | LiveAudio, declared: str | None) -> Iterator[OpenedAudio]:
    """Open the audio stream of a source, whose bytes must be of the declared type; None: of any accepted one.

    Raises:
        UnsupportedMedia: the bytes are of another type.
        Rejected: they cannot be decoded.
    """
    import av

    head = _read_head(source)
    media_type = _identify_audio(head, declared)
    if media_type == "audio/wav" and isinstance(source, Path) and source.stat().st_size <= _MAX_REWRITTEN_BYTES:
        source = source.read_bytes()
    if head.startswith(b"RIFX") and isinstance(source, Path | bytes):
        source = swap_byte_order(source if isinstance(source, bytes) else source.read_bytes())
    stated_s: float | None = None
    if media_type == "audio/wav" and isinstance(source, bytes):
        source, stated_s = complete_header(source, MAX_SECONDS)
    file = io.BytesIO(source) if isinstance(source, bytes) else str(source) if isinstance(source, Path) else source
    with _reject_errors(), av.open(file, format=DEMUXERS[media_type]) as container:
        if not container.streams.audio:
            raise Rejected(f"{media_type} without an audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:  # the header names a codec that FFmpeg does not have
            raise Rejected(f"{media_type} with a codec that has no decoder: convert it to WAV (PCM), FLAC or Ogg Opus")
        _check_limits(int(stream.rate or 0), int(stream.codec_context.channels))
        if media_type == "audio/ogg" and isinstance(source, bytes):
            stated_s = ogg_stated_s(source, int(stream.rate))
        if media_type == "audio/flac":
            # Without this a frame is decoded though its checksum is wrong: damage would be noise.
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        yield OpenedAudio(container, stream, head, stated_s)


def _identify_audio(head: bytes, declared: str | None) -> str:
    """Name the type of the bytes. Raises UnsupportedMedia for another than the declared one."""
    found = identify(head[:HEAD_BYTES])
    if declared is not None and found != declared:
        advice = "declare what is sent" if found else ADVICE.get(declared, "send a complete file, header and all")
        raise UnsupportedMedia(f"declared as {declared}, but the bytes are {found or 'of no accepted type'}: {advice}")
    if found not in DEMUXERS:
        raise UnsupportedMedia(f"no audio of an accepted type: send {', '.join(sorted(DEMUXERS))}")
    return found


def _check_limits(rate: int, channels: int) -> None:
    if not 1 <= channels <= MAX_CHANNELS:
        raise Rejected(f"audio with {channels} channels: 1 to {MAX_CHANNELS} are accepted")
    if not SAMPLE_RATE_RANGE[0] <= rate <= SAMPLE_RATE_RANGE[1]:
        raise Rejected(f"audio at {rate} Hz: {SAMPLE_RATE_RANGE[0]} to {SAMPLE_RATE_RANGE[1]} Hz are accepted")


def channel_count(frame: Any) -> int:
    """Return the number of channels of a frame."""
    return int(frame.layout.nb_channels)


def _read_head(source: Path | bytes | LiveAudio) -> bytes:
    """Read the first bytes of a source, without consuming those of a live one."""
    if isinstance(source, bytes):
        return source[:_HEAD_BYTES]
    if not isinstance(source, Path):
        return source.peek(_LIVE_HEAD_BYTES)
    with source.open("rb") as file:
        return file.read(_HEAD_BYTES)


@contextmanager
def _reject_errors() -> Iterator[None]:
    """Convert FFmpeg's errors into ``Rejected``: the bytes are at fault."""
    import av

    try:
        yield
    except (av.error.FFmpegError, ValueError, EOFError, MemoryError) as error:
        raise Rejected(f"audio that cannot be decoded: {decoding_fault(error)}") from None
