"""Audio files to samples, by PyAV (FFmpeg): probed at the gateway, decoded by the call deriver, cut for file ingest.

The bytes are untrusted. So the demuxer is named, never guessed (FFmpeg's guess may choose one that opens other files),
and a file that unpacks into hours is refused. Every fault of the bytes (none, a truncated header, another type than
declared, NaN samples) raises ``Rejected`` with the reason, and nothing else.
"""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmplatform.errors import Rejected, TooLarge, UnsupportedMedia

SAMPLE_RATE: Final = 16_000
"""Hz; the input rate of speech models."""

MAX_CHANNELS: Final = 8
MAX_SECONDS: Final = 600.0
"""Decoding stops here: a few megabytes of well-compressed silence last for days."""
SAMPLE_RATE_RANGE: Final = (4_000, 192_000)
_SAMPLE_BYTES: Final = 2
_SNIFF_BYTES: Final = 16
_MPEG_SYNC: Final = 0xFFE0
_MPEG_LAYER: Final = 0x0006
_DEMUXERS: Final[dict[str, str]] = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/mp4": "mp4",
    "audio/webm": "webm",
}
_ALIASES: Final[dict[str, str]] = {
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
_HEADERLESS: Final = ("audio/basic", "audio/l16")
_MAX_DAMAGED_SHARE: Final = 0.02
"""Packets that may be damaged in a file: an MP3 cut out of a longer one misses what its first frame refers to."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """Content of a file; ``duration_s`` is counted from samples, not read from the header."""

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
    with _open_bytes(data, media_type) as (container, stream):
        rate, channels = int(stream.rate), int(stream.codec_context.channels)
        samples = sum(frame.samples for frame in _decode_frames(container, stream, MAX_SECONDS))
        return AudioInfo(rate, channels, samples / rate, str(stream.codec_context.name))


def decode(data: bytes, media_type: str, *, rate: int = SAMPLE_RATE) -> Samples:
    """Decode all samples, shape ``(channels, samples)``, float32 in [-1, 1], at ``rate`` Hz; channels are never mixed.

    Raises:
        UnsupportedMedia, TooLarge, Rejected: as :func:`probe`.
    """
    with _open_bytes(data, media_type) as (container, stream):
        frames = _decode_frames(container, stream, MAX_SECONDS)
        samples: Samples = np.concatenate(list(_resample(frames, "fltp", rate)), axis=1)
    return np.clip(samples, -1.0, 1.0, out=samples)


def split(source: Path | bytes, chunk_s: float) -> Iterator[tuple[int, float, bytes]]:
    """Cut a file of any length into 16-bit WAV chunks at its own rate and channels: ``(index, start_s, wav)``.

    Raises:
        UnsupportedMedia: its type is not accepted.
        Rejected: it cannot be decoded; chunks before the damage were yielded.
    """
    with _open_stream(source, sniff(_read_head(source))) as (container, stream):
        rate, channels = int(stream.rate), int(stream.codec_context.channels)
        size = max(1, round(chunk_s * rate)) * channels
        buffer = np.empty(0, dtype=np.int16)
        index = 0
        for part in _resample(_decode_frames(container, stream, None), "s16", rate):
            buffer = np.concatenate([buffer, part.reshape(-1)])
            while buffer.size >= size:
                yield index, index * size / channels / rate, _to_wav(buffer[:size], rate, channels)
                buffer, index = buffer[size:], index + 1
        if buffer.size:
            yield index, index * size / channels / rate, _to_wav(buffer, rate, channels)


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


@contextmanager
def _open_bytes(data: bytes, media_type: str) -> Iterator[tuple[Any, Any]]:
    """Open the container and its audio stream; the bytes must be of the declared type."""
    content_type = Message()
    content_type["content-type"] = media_type
    base_type = media_type.split(";", 1)[0].strip().lower()
    base_type = _ALIASES.get(base_type, base_type)
    if base_type not in _DEMUXERS and base_type not in _HEADERLESS:
        accepted = ", ".join(sorted((*_DEMUXERS, *_HEADERLESS)))
        raise UnsupportedMedia(f"audio of type {base_type[:100] or 'unknown'} is not accepted: send {accepted}")
    if not data:
        raise Rejected("audio of zero bytes")
    if base_type in _HEADERLESS:
        data, base_type = _add_wav_header(data, base_type, content_type), "audio/wav"
    found = sniff(data[:_SNIFF_BYTES])
    if found != base_type:
        raise UnsupportedMedia(
            f"declared as {base_type}, but the bytes are {found or 'of no accepted type'} "
            "(each chunk must be a file of its own, header and all)"
        )
    with _open_stream(data, base_type) as opened:
        yield opened


@contextmanager
def _open_stream(source: Path | bytes, media_type: str | None) -> Iterator[tuple[Any, Any]]:
    import av

    if media_type is None:
        raise UnsupportedMedia(f"no audio of an accepted type: send {', '.join(sorted(_DEMUXERS))}")
    file = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    with _reject_errors(), av.open(file, format=_DEMUXERS[media_type]) as container:
        if not container.streams.audio:
            raise Rejected(f"{media_type} without an audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:  # the header names a codec that FFmpeg does not have
            raise Rejected(f"{media_type} with a codec that has no decoder")
        rate, channels = int(stream.rate or 0), int(stream.codec_context.channels)
        if not 1 <= channels <= MAX_CHANNELS:
            raise Rejected(f"audio with {channels} channels: 1 to {MAX_CHANNELS} are accepted")
        if not SAMPLE_RATE_RANGE[0] <= rate <= SAMPLE_RATE_RANGE[1]:
            raise Rejected(f"audio at {rate} Hz: {SAMPLE_RATE_RANGE[0]} to {SAMPLE_RATE_RANGE[1]} Hz are accepted")
        yield container, stream


def _decode_frames(container: Any, stream: Any, max_s: float | None) -> Iterator[Any]:
    """Decode frames of finite samples; raise when there are none, too many, or too much is damaged."""
    import av

    packets = damaged = samples = 0
    for packet in container.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            damaged += 1
            continue
        for frame in frames:
            samples += frame.samples
            if max_s is not None and samples > max_s * stream.rate:
                raise TooLarge(f"audio of over {max_s:.0f} s in one file: split it")
            if frame.format.name.startswith(("flt", "dbl")) and not np.isfinite(frame.to_ndarray()).all():
                raise Rejected("audio with NaN or infinite samples")
            yield frame
    if not samples:
        raise Rejected("audio without samples: nothing could be decoded")
    if damaged > max(1.0, packets * _MAX_DAMAGED_SHARE):
        raise Rejected(f"damaged audio: {damaged} of {packets} packets cannot be decoded")


def _resample(frames: Iterator[Any], sample_format: str, rate: int) -> Iterator[npt.NDArray[Any]]:
    import av

    resampler: Any = None
    for frame in chain(frames, (None,)):
        if resampler is None:
            resampler = av.AudioResampler(format=sample_format, layout=frame.layout, rate=rate)
        for out in resampler.resample(frame):
            yield out.to_ndarray()


def _add_wav_header(data: bytes, base_type: str, content_type: Message) -> bytes:
    """Make a WAV file of samples without a header; the media type describes them (RFC 2046, RFC 3551)."""
    if base_type == "audio/basic":
        size = len(data)
        head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 7, 1, 8000, 8000, 1, 8)
        return head + struct.pack("<4sI", b"data", size) + data
    rate, channels = str(content_type.get_param("rate", "")), str(content_type.get_param("channels", "1"))
    if not rate.isdecimal() or not channels.isdecimal() or not 1 <= int(channels) <= MAX_CHANNELS:
        raise UnsupportedMedia("audio/L16 needs its parameters, as in `audio/L16;rate=8000;channels=2`")
    if not SAMPLE_RATE_RANGE[0] <= int(rate) <= SAMPLE_RATE_RANGE[1]:
        raise Rejected(f"audio at {rate[:12]} Hz: {SAMPLE_RATE_RANGE[0]} to {SAMPLE_RATE_RANGE[1]} Hz are accepted")
    if len(data) % (_SAMPLE_BYTES * int(channels)):
        raise Rejected(f"{len(data)} bytes are not a whole number of 16-bit samples of {channels} channels")
    return _to_wav(np.frombuffer(data, dtype=">i2").astype(np.int16), int(rate), int(channels))


def _read_head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_SNIFF_BYTES]
    with source.open("rb") as file:
        return file.read(_SNIFF_BYTES)


def _to_wav(samples: npt.NDArray[np.int16], rate: int, channels: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(_SAMPLE_BYTES)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


@contextmanager
def _reject_errors() -> Iterator[None]:
    """Convert FFmpeg's errors into ``Rejected``: the bytes are at fault."""
    import av

    try:
        yield
    except (av.error.FFmpegError, ValueError, EOFError, MemoryError) as error:
        raise Rejected(f"audio that cannot be decoded ({type(error).__name__})") from None
