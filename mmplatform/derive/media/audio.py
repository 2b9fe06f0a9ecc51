"""Audio files to samples, by PyAV (FFmpeg): probed at the gateway, decoded by the call deriver, cut for file ingest.

The bytes are untrusted. So the demuxer is named, never guessed (FFmpeg's guess may choose one that opens other files),
and a file that unpacks into hours is refused. Every fault of the bytes (none, a truncated header, another type than
declared, NaN samples) raises ``Rejected`` with the reason, and nothing else. Where a part of a file cannot be decoded,
silence of its length takes its place, and the result names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmplatform.derive.media.container import MAX_SECONDS, LiveAudio, channel_count
from mmplatform.derive.media.open_audio import open_bytes, open_stream
from mmplatform.derive.media.timeline import Hole
from mmplatform.derive.media.wav import to_wav
from mmplatform.errors import Rejected

SAMPLE_RATE: Final = 16_000
"""Hz; the input rate of speech models."""

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
    with open_bytes(data, media_type) as opened:
        rate, seconds, channels = 0, 0.0, 1
        for item in opened.items(MAX_SECONDS):
            if isinstance(item, Hole):
                seconds += item.seconds
                continue
            rate = rate or int(item.sample_rate)
            seconds += item.samples / item.sample_rate
            channels = max(channels, channel_count(item))
        return AudioInfo(rate, channels, round(seconds, 9), opened.codec)


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
    with open_bytes(data, media_type) as opened:
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
    with open_stream(source, media_type) as opened:
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


_Layout = tuple[int, str, int]


def _layout(item: Any) -> _Layout | None:
    """Return rate, sample format and channels: what one resampler serves; None for a hole."""
    if isinstance(item, Hole):
        return None
    return int(item.sample_rate), f"{item.format.name} {item.layout.name}", channel_count(item)


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
