"""Audio files for tests: tones in any container and codec."""

from __future__ import annotations

import io
import struct

import av
import numpy as np

SECONDS = 1.5
TONES = (440.0, 1000.0)


def tones(rate: int, channels: int, seconds: float = SECONDS) -> np.ndarray:
    """One tone on each channel, shape ``(channels, samples)``."""
    t = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * TONES[n % 2] * t) for n in range(channels)]).astype(np.float32)


def encoded(container: str, codec: str, samples: np.ndarray, rate: int, layout: str | None = None) -> bytes:
    out = io.BytesIO()
    layout = layout or ("stereo" if len(samples) == 2 else "mono")
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})  # vorbis
        if not samples.shape[1]:  # a header alone
            file.start_encoding()
            return _closed(file, out)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        converter = av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate)
        for part in converter.resample(frame) + converter.resample(None):
            fifo.write(part)
        size = stream.codec_context.frame_size or 1024
        while part := fifo.read(size, partial=fifo.samples < size):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


def _closed(file: av.container.OutputContainer, out: io.BytesIO) -> bytes:
    file.close()
    return out.getvalue()


def float_wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    body = samples.astype("<f4").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(body), b"WAVE", b"fmt ", 16, 3, 1, rate, rate * 4, 4, 32)
    return head + struct.pack("<4sI", b"data", len(body)) + body
