"""One audio file opened by PyAV: its demuxer is named by its type, and its limits are checked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from mmplatform.derive.media import ogg
from mmplatform.derive.media.audio_advice import decoding_fault
from mmplatform.derive.media.audio_types import DEMUXERS
from mmplatform.derive.media.rifx import swap_byte_order
from mmplatform.derive.media.timeline import Hole, frames_and_holes, is_empty
from mmplatform.derive.media.wav import complete_header
from mmplatform.errors import Rejected

MAX_CHANNELS: Final = 8
MAX_SECONDS: Final = 600.0
"""Decoding stops here: a few megabytes of well-compressed silence last for days."""

SAMPLE_RATE_RANGE: Final = (4_000, 192_000)
HEAD_BYTES: Final = 1 << 20
"""Bytes of a file in which its header lies, behind an MP3's title and cover."""


class LiveAudio(Protocol):
    """A recording that is still being made: ``read`` waits for more, and returns nothing at its end."""

    def peek(self, size: int) -> bytes:
        """The first bytes, without consuming them."""

    def read(self, size: int) -> bytes:
        """At most ``size`` more bytes."""


class NoAudio(Rejected):
    """A file that ends with its header, or within its first page."""


@dataclass(frozen=True, slots=True)
class AudioContainer:
    """Open file.

    Attributes:
        handle: opened by PyAV.
        stream: its audio stream.
        head: its first bytes.
        stated_s: length that its header states, where it was read.
    """

    handle: Any
    stream: Any
    head: bytes
    stated_s: float | None

    def is_empty(self) -> bool:
        """Check for a header that states no audio, and none after it; reads packets, so that nothing else can."""
        return not self.stated_s and is_empty(self.handle, self.stream, self.head)

    def items(self) -> Iterator[Any]:
        """Yield frames and holes, each with a rate and channels that are accepted. Raises Rejected."""
        for item in frames_and_holes(self.handle, self.stream, self.head, self.stated_s):
            if not isinstance(item, Hole):
                _check_limits(int(item.sample_rate), channel_count(item))
            yield item


@contextmanager
def open_file(data: bytes, media_type: str) -> Iterator[AudioContainer]:
    """Open a file of a known type.

    Raises:
        NoAudio: it ends before any audio.
        Rejected: it cannot be decoded.
    """
    stated_s: float | None = None
    if data.startswith(b"RIFX"):
        data = swap_byte_order(data)
    if media_type == "audio/wav":
        data, stated_s = complete_header(data, MAX_SECONDS)
    with open_container(data, media_type, data[:HEAD_BYTES], stated_s) as opened:
        yield opened


@contextmanager
def open_container(
    source: Path | bytes | LiveAudio, media_type: str, head: bytes, stated_s: float | None = None
) -> Iterator[AudioContainer]:
    """Open a container of a known type as it is. Raises as :func:`open_file`."""
    import av

    file = io.BytesIO(source) if isinstance(source, bytes) else str(source) if isinstance(source, Path) else source
    with _reject_errors(), av.open(file, format=DEMUXERS[media_type]) as container:
        if not container.streams.audio:
            raise (Rejected if container.streams else NoAudio)(f"{media_type} without an audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:  # the header names a codec that FFmpeg does not have
            raise Rejected(f"{media_type} with a codec that has no decoder: convert it to WAV (PCM), FLAC or Ogg Opus")
        _check_limits(int(stream.rate or 0), int(stream.codec_context.channels))
        if media_type == "audio/ogg" and isinstance(source, bytes):
            stated_s = ogg.stated_s(source, int(stream.rate))
        if media_type == "audio/flac":
            # Without this a frame is decoded though its checksum is wrong: damage would be noise.
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        yield AudioContainer(container, stream, head, stated_s)


def channel_count(frame: Any) -> int:
    """Return the number of channels of a frame."""
    return int(frame.layout.nb_channels)


def _check_limits(rate: int, channels: int) -> None:
    if not 1 <= channels <= MAX_CHANNELS:
        raise Rejected(f"audio with {channels} channels: 1 to {MAX_CHANNELS} are accepted")
    if not SAMPLE_RATE_RANGE[0] <= rate <= SAMPLE_RATE_RANGE[1]:
        raise Rejected(f"audio at {rate} Hz: {SAMPLE_RATE_RANGE[0]} to {SAMPLE_RATE_RANGE[1]} Hz are accepted")


@contextmanager
def _reject_errors() -> Iterator[None]:
    """Convert FFmpeg's errors into ``Rejected``: the bytes are at fault."""
    import av

    try:
        yield
    except EOFError as error:
        raise NoAudio(f"audio that cannot be decoded: {decoding_fault(error)}") from None
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise Rejected(f"audio that cannot be decoded: {decoding_fault(error)}") from None
