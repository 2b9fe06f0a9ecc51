"""Audio files to samples, by PyAV (FFmpeg): probed at the gateway, decoded by the call deriver, cut for file ingest.

The bytes are untrusted. So the demuxer is named, never guessed (FFmpeg's guess may choose one that opens other files),
and a file that unpacks into hours is refused. Every fault of the bytes (none, a truncated header, another type than
declared, NaN samples) raises ``Rejected`` with the reason, and nothing else. Where a part of a file cannot be decoded,
silence of its length takes its place, and the result names it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from mmplatform.derive.media.audio_advice import ADVICE, decoding_fault
from mmplatform.derive.media.audio_types import ALIASES, DEMUXERS, HEADERLESS
from mmplatform.derive.media.rifx import swap_byte_order
from mmplatform.derive.media.signatures import HEAD_BYTES, identify
from mmplatform.derive.media.timeline import Hole, frames_and_holes, ogg_stated_s
from mmplatform.derive.media.wav import add_header, complete_header, to_wav
from mmplatform.errors import Rejected, UnsupportedMedia

SAMPLE_RATE: Final = 16_000
"""Hz; the input rate of speech models."""

MAX_CHANNELS: Final = 8
MAX_SECONDS: Final = 600.0
"""Decoding stops here: a few megabytes of well-compressed silence last for days."""
_LIVE_HEAD_BYTES: Final = 16
SAMPLE_RATE_RANGE: Final = (4_000, 192_000)
_HEAD_BYTES: Final = 1 << 20
"""Bytes of a file in which its header lies, behind an MP3's title and cover."""

_MAX_REWRITTEN_BYTES: Final = 1 << 28
"""A larger WAV file is read as it is, though its header states no length."""

_JOINED_HOLES_S: Final = 0.05
"""Holes so close to each other are one: nothing between them can be understood."""

Samples = npt.NDArray[np.float32]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AudioContent:
    """Samples of shape ``(channels, samples)``, and the spans, in seconds, that are silent because they are missing."""

    samples: Samples
    missing: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """Content of a file; ``duration_s`` is counted, with what cannot be decoded; ``channels`` are the most it has."""

    sample_rate: int
    channels: int
    duration_s: float
    codec: str


def probe(data: bytes, media_type: str) -> AudioInfo:
    """Probe a file without keeping its samples: all are decoded once, because a header may be wrong.

    Raises:
        UnsupportedMedia: the media type is not accepted, or the bytes are of another one.
        TooLarge: it is longer than 10 minutes.
        Rejected: it is empty, cannot be decoded, has over 8 channels, an odd rate, or NaN samples.
    """
    with _open_bytes(data, media_type) as opened:
        rate, seconds, channels = 0, 0.0, 1
        for item in opened.items(MAX_SECONDS):
            if isinstance(item, Hole):
                seconds += item.seconds
                continue
            rate = rate or int(item.sample_rate)
            seconds += item.samples / item.sample_rate
            channels = max(channels, _channel_count(item))
        codec = str(opened.stream.codec_context.name)
        return AudioInfo(rate, channels, round(seconds, 9), codec)


def decode(data: bytes, media_type: str, *, rate: int = SAMPLE_RATE) -> Samples:
    """Decode all samples, shape ``(channels, samples)``, float32 in [-1, 1], at ``rate`` Hz; channels are never mixed.

    Raises:
        UnsupportedMedia, TooLarge, Rejected: as :func:`probe`.
    """
    return read(data, media_type, rate=rate).samples


def read(data: bytes, media_type: str, *, rate: int = SAMPLE_RATE) -> AudioContent:
    """Decode as :func:`decode`; also return what is missing. Mono between stereo is on both channels.

    Raises:
        UnsupportedMedia, TooLarge, Rejected: as :func:`probe`.
    """
    parts: list[Samples] = []
    missing: list[Span] = []
    size = 0
    with _open_bytes(data, media_type) as opened:
        for layout, items in groupby(opened.items(MAX_SECONDS), key=_layout):
            if layout is None:
                start_s = size / rate
                found = [np.zeros((1, round(sum(hole.seconds for hole in items) * rate)), dtype=np.float32)]
                missing.append((start_s, start_s + found[0].shape[1] / rate))
            else:
                found = list(_resample(items, "fltp", rate))
            size += sum(part.shape[1] for part in found)
            parts += found
    channels = max(part.shape[0] for part in parts)
    samples: Samples = np.concatenate([_fit(part, channels) for part in parts], axis=1)
    return AudioContent(np.clip(samples, -1.0, 1.0, out=samples), _joined(missing))


class LiveAudio(Protocol):
    """A recording that is still being made: ``read`` waits for more, and returns nothing at its end."""

    def peek(self, size: int) -> bytes:
        """The first bytes, without consuming them."""

    def read(self, size: int) -> bytes:
        """At most ``size`` more bytes."""


def split(
    source: Path | bytes | LiveAudio, chunk_s: float, media_type: str | None = None
) -> Iterator[tuple[int, float, bytes]]:
    """Cut a recording of any length into 16-bit WAV chunks: ``(index, start_s, wav)``.

    A chunk has the rate and channels of its audio, and ends early where these change. What cannot be decoded is in no
    chunk: the next one starts after it.

    Args:
        source: a file, its bytes, or a recording that is still being made.
        chunk_s: seconds of a chunk.
        media_type: the declared type, which the bytes must be of; None: any accepted type.

    Raises:
        UnsupportedMedia: its type is not accepted.
        Rejected: it cannot be decoded, or ends before its stated length; chunks before the damage were yielded.
    """
    index, position_s, first_channels = 0, 0.0, 0
    found = identify(_read_head(source)[:HEAD_BYTES])
    if media_type is not None:
        _check_type(media_type, found)
    with _open_stream(source, found) as opened:
        for layout, items in groupby(opened.items(None), key=_layout):
            if layout is None:
                holes = list(items)
                position_s += sum(hole.seconds for hole in holes)
                if holes[-1].at_end:
                    raise Rejected(f"the file ends {holes[-1].seconds:.2f} s before the length that it states")
                continue
            rate, channels = layout[0], layout[2]
            first_channels = first_channels or channels
            wide = first_channels if channels == 1 else channels
            for samples in _cut(_resample(items, "s16", rate), max(1, round(chunk_s * rate)) * channels):
                frames = np.repeat(samples, wide) if wide > channels else samples
                yield index, position_s, to_wav(frames, rate, wide)
                index, position_s = index + 1, position_s + samples.size / channels / rate


def _cut(parts: Iterable[npt.NDArray[Any]], size: int) -> Iterator[npt.NDArray[np.int16]]:
    """Cut interleaved samples into pieces of ``size``; the last one has the rest."""
    buffer = np.empty(0, dtype=np.int16)
    for part in parts:
        buffer = np.concatenate([buffer, part.reshape(-1)])
        while buffer.size >= size:
            yield buffer[:size]
            buffer = buffer[size:]
    if buffer.size:
        yield buffer


@dataclass(frozen=True, slots=True)
class _Opened:
    """Open file: PyAV's container and audio stream, its first bytes, and the length that its header states."""

    container: Any
    stream: Any
    head: bytes
    stated_s: float | None

    def items(self, max_s: float | None) -> Iterator[Any]:
        """Yield frames and holes, each checked against the limits."""
        for item in frames_and_holes(self.container, self.stream, self.head, self.stated_s, max_s):
            if not isinstance(item, Hole):
                _check_limits(int(item.sample_rate), _channel_count(item))
            yield item


@contextmanager
def _open_bytes(data: bytes, media_type: str) -> Iterator[_Opened]:
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
    _check_type(base_type, identify(data[:HEAD_BYTES]))
    with _open_stream(data, base_type) as opened:
        yield opened


def _check_type(declared: str, found: str | None) -> None:
    if found != declared:
        advice = "declare what is sent" if found else ADVICE.get(declared, "send a complete file, header and all")
        raise UnsupportedMedia(f"declared as {declared}, but the bytes are {found or 'of no accepted type'}: {advice}")


@contextmanager
def _open_stream(source: Path | bytes | LiveAudio, media_type: str | None) -> Iterator[_Opened]:
    import av

    if media_type not in DEMUXERS:
        raise UnsupportedMedia(f"no audio of an accepted type: send {', '.join(sorted(DEMUXERS))}")
    head = _read_head(source)
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
        yield _Opened(container, stream, head, stated_s)


def _check_limits(rate: int, channels: int) -> None:
    if not 1 <= channels <= MAX_CHANNELS:
        raise Rejected(f"audio with {channels} channels: 1 to {MAX_CHANNELS} are accepted")
    if not SAMPLE_RATE_RANGE[0] <= rate <= SAMPLE_RATE_RANGE[1]:
        raise Rejected(f"audio at {rate} Hz: {SAMPLE_RATE_RANGE[0]} to {SAMPLE_RATE_RANGE[1]} Hz are accepted")


_Layout = tuple[int, str, int]


def _layout(item: Any) -> _Layout | None:
    """Return rate, sample format and channels: what one resampler serves; None for a hole."""
    if isinstance(item, Hole):
        return None
    return int(item.sample_rate), f"{item.format.name} {item.layout.name}", _channel_count(item)


def _channel_count(frame: Any) -> int:
    return int(frame.layout.nb_channels)


def _resample(frames: Iterable[Any], sample_format: str, rate: int) -> Iterator[npt.NDArray[Any]]:
    """Convert frames of one layout."""
    import av

    resampler: Any = None
    for frame in chain(frames, (None,)):
        if resampler is None:
            resampler = av.AudioResampler(format=sample_format, layout=frame.layout, rate=rate)
        if frame is not None:
            frame.pts = None  # the position is counted: the resampler would fill a jump of time stamps by itself
        for out in resampler.resample(frame):
            yield out.to_ndarray()


def _fit(part: Samples, channels: int) -> Samples:
    """Spread mono over all channels; other layouts with fewer are silent on the rest."""
    if part.shape[0] == channels:
        return part
    if part.shape[0] == 1:
        return np.repeat(part, channels, axis=0)
    return np.pad(part, ((0, channels - part.shape[0]), (0, 0)))


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Join spans that are close."""
    joined: list[Span] = []
    for start_s, end_s in spans:
        if joined and start_s - joined[-1][1] <= _JOINED_HOLES_S:
            joined[-1] = joined[-1][0], end_s
        else:
            joined.append((start_s, end_s))
    return tuple(joined)


def _read_head(source: Path | bytes | LiveAudio) -> bytes:
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
