"""Audio files to samples, by PyAV (FFmpeg): probed at the gateway, decoded by the call deriver, cut for file ingest.

The bytes come from strangers. So the demuxer is named, never guessed (FFmpeg's guess may fall on one that opens other
files), a file that unpacks into hours is refused, and whatever is wrong (no bytes, a truncated header, another type
than declared, NaN samples) is ``Rejected`` with the reason: nothing here raises anything else for bad bytes.
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

RATE: Final = 16_000
"""Hz; what speech models take."""

MOST_CHANNELS: Final = 8
MOST_SECONDS: Final = 600.0
"""A few megabytes of well-packed silence last for days: decoding stops here."""
RATES: Final = (4_000, 192_000)
_PCM: Final = 2
_HEAD: Final = 16
_SYNC: Final = 0xFFE0
_LAYER: Final = 0x0006
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
_LOST_SHARE: Final = 0.02
"""Packets that may be damaged in a file: an MP3 cut out of a longer one misses what its first frame refers to."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What is in a file; ``duration_s`` is counted, not believed."""

    sample_rate: int
    channels: int
    duration_s: float
    codec: str


def probe(data: bytes, media_type: str) -> AudioInfo:
    """Look into a file without keeping its samples: a header may say anything, so they are all decoded once.

    Raises:
        UnsupportedMedia: the media type is not taken, or the bytes are of another one.
        TooLarge: it lasts over 10 minutes.
        Rejected: it is empty, cannot be decoded, has over 8 channels, an odd rate, or NaN samples.
    """
    with _opened(data, media_type) as (container, stream):
        rate, channels = int(stream.rate), int(stream.codec_context.channels)
        samples = sum(frame.samples for frame in _frames(container, stream, MOST_SECONDS))
        return AudioInfo(rate, channels, samples / rate, str(stream.codec_context.name))


def decode(data: bytes, media_type: str, *, rate: int = RATE) -> Samples:
    """All samples, shape ``(channels, samples)``, float32 in [-1, 1], at ``rate`` Hz; channels are never mixed.

    Raises:
        UnsupportedMedia, TooLarge, Rejected: as :func:`probe`.
    """
    with _opened(data, media_type) as (container, stream):
        frames = _frames(container, stream, MOST_SECONDS)
        samples: Samples = np.concatenate(list(_converted(frames, "fltp", rate)), axis=1)
    return np.clip(samples, -1.0, 1.0, out=samples)


def split(source: Path | bytes, chunk_s: float) -> Iterator[tuple[int, float, bytes]]:
    """Cut a file of any length into 16-bit WAV chunks at its own rate and channels: ``(index, start_s, wav)``.

    Raises:
        UnsupportedMedia: it is of no type that is taken.
        Rejected: it cannot be decoded; chunks before the damage were yielded.
    """
    with _stream(source, sniff(_head(source))) as (container, stream):
        rate, channels = int(stream.rate), int(stream.codec_context.channels)
        size = max(1, round(chunk_s * rate)) * channels
        held = np.empty(0, dtype=np.int16)
        index = 0
        for part in _converted(_frames(container, stream, None), "s16", rate):
            held = np.concatenate([held, part.reshape(-1)])
            while held.size >= size:
                yield index, index * size / channels / rate, _wav(held[:size], rate, channels)
                held, index = held[size:], index + 1
        if held.size:
            yield index, index * size / channels / rate, _wav(held, rate, channels)


def sniff(head: bytes) -> str | None:
    """The media type that the first 16 bytes show; None for what is not taken."""
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return "audio/wav"
    if head[4:8] == b"ftyp":
        return "audio/mp4"
    # An MPEG frame: eleven set bits, and a layer (AAC in ADTS has none).
    sync = int.from_bytes(head[:2], "big")
    if head[:3] == b"ID3" or (sync & _SYNC == _SYNC and sync & _LAYER):
        return "audio/mpeg"
    magic = {b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"\x1a\x45\xdf\xa3": "audio/webm"}
    return magic.get(head[:4])


@contextmanager
def _opened(data: bytes, media_type: str) -> Iterator[tuple[Any, Any]]:
    """The container and its audio stream, of bytes that are what they are declared to be."""
    said = Message()
    said["content-type"] = media_type
    base = media_type.split(";", 1)[0].strip().lower()
    base = _ALIASES.get(base, base)
    if base not in _DEMUXERS and base not in _HEADERLESS:
        taken = ", ".join(sorted((*_DEMUXERS, *_HEADERLESS)))
        raise UnsupportedMedia(f"audio of type {base[:100] or 'unknown'} is not taken: send {taken}")
    if not data:
        raise Rejected("audio of zero bytes")
    if base in _HEADERLESS:
        data, base = _with_header(data, base, said), "audio/wav"
    found = sniff(data[:_HEAD])
    if found != base:
        raise UnsupportedMedia(
            f"declared as {base}, but the bytes are {found or 'of no type that is taken'} "
            "(each chunk must be a file of its own, header and all)"
        )
    with _stream(data, base) as opened:
        yield opened


@contextmanager
def _stream(source: Path | bytes, media_type: str | None) -> Iterator[tuple[Any, Any]]:
    import av

    if media_type is None:
        raise UnsupportedMedia(f"no audio of a type that is taken: send {', '.join(sorted(_DEMUXERS))}")
    file = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    with _errors(), av.open(file, format=_DEMUXERS[media_type]) as container:
        if not container.streams.audio:
            raise Rejected(f"{media_type} without an audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:  # the header names a codec that FFmpeg does not have
            raise Rejected(f"{media_type} in a codec that no decoder takes")
        rate, channels = int(stream.rate or 0), int(stream.codec_context.channels)
        if not 1 <= channels <= MOST_CHANNELS:
            raise Rejected(f"audio with {channels} channels: 1 to {MOST_CHANNELS} are taken")
        if not RATES[0] <= rate <= RATES[1]:
            raise Rejected(f"audio at {rate} Hz: {RATES[0]} to {RATES[1]} Hz are taken")
        yield container, stream


def _frames(container: Any, stream: Any, most_s: float | None) -> Iterator[Any]:
    """Decoded frames of finite samples; raises when there are none, too many, or too much is damaged."""
    import av

    packets = lost = samples = 0
    for packet in container.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            lost += 1
            continue
        for frame in frames:
            samples += frame.samples
            if most_s is not None and samples > most_s * stream.rate:
                raise TooLarge(f"audio of over {most_s:.0f} s in one file: split it")
            if frame.format.name.startswith(("flt", "dbl")) and not np.isfinite(frame.to_ndarray()).all():
                raise Rejected("audio with NaN or infinite samples")
            yield frame
    if not samples:
        raise Rejected("audio without samples: nothing could be decoded")
    if lost > max(1.0, packets * _LOST_SHARE):
        raise Rejected(f"damaged audio: {lost} of {packets} packets cannot be decoded")


def _converted(frames: Iterator[Any], sample_format: str, rate: int) -> Iterator[npt.NDArray[Any]]:
    import av

    resampler: Any = None
    for frame in chain(frames, (None,)):
        if resampler is None:
            resampler = av.AudioResampler(format=sample_format, layout=frame.layout, rate=rate)
        for out in resampler.resample(frame):
            yield out.to_ndarray()


def _with_header(data: bytes, base: str, said: Message) -> bytes:
    """A WAV file of samples that came without a header: the media type says what they are (RFC 2046, RFC 3551)."""
    if base == "audio/basic":
        size = len(data)
        head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 7, 1, 8000, 8000, 1, 8)
        return head + struct.pack("<4sI", b"data", size) + data
    rate, channels = str(said.get_param("rate", "")), str(said.get_param("channels", "1"))
    if not rate.isdecimal() or not channels.isdecimal() or not 1 <= int(channels) <= MOST_CHANNELS:
        raise UnsupportedMedia("audio/L16 needs its parameters, as in `audio/L16;rate=8000;channels=2`")
    if not RATES[0] <= int(rate) <= RATES[1]:
        raise Rejected(f"audio at {rate[:12]} Hz: {RATES[0]} to {RATES[1]} Hz are taken")
    if len(data) % (_PCM * int(channels)):
        raise Rejected(f"{len(data)} bytes are no whole number of 16-bit samples of {channels} channels")
    return _wav(np.frombuffer(data, dtype=">i2").astype(np.int16), int(rate), int(channels))


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEAD]
    with source.open("rb") as file:
        return file.read(_HEAD)


def _wav(samples: npt.NDArray[np.int16], rate: int, channels: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(_PCM)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


@contextmanager
def _errors() -> Iterator[None]:
    """FFmpeg's errors say which call failed; ours, that the bytes are at fault."""
    import av

    try:
        yield
    except (av.error.FFmpegError, ValueError, EOFError, MemoryError) as error:
        raise Rejected(f"audio that cannot be decoded ({type(error).__name__})") from None
