"""Sound audio and images of every accepted format, a tenth of a second or a few pixels each."""

from __future__ import annotations

import io
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

File = tuple[str, bytes]
"""The media type, as a source declares it, and the bytes."""

_SECONDS: Final = 0.1
_CONTAINERS: Final = (
    ("audio/wav", "wav", "pcm_s16le", 8_000), ("audio/wav", "wav", "pcm_f32le", 16_000),
    ("audio/mpeg", "mp3", "libmp3lame", 16_000), ("audio/flac", "flac", "flac", 16_000),
    ("audio/ogg; codecs=opus", "ogg", "libopus", 48_000), ("audio/webm;codecs=opus", "webm", "libopus", 48_000),
    ("audio/mp4", "mp4", "aac", 48_000), ("audio/x-m4a", "ipod", "aac", 44_100), ("audio/aac", "adts", "aac", 48_000),
    ("audio/aiff", "aiff", "pcm_s16be", 8_000), ("audio/x-caf", "caf", "pcm_s16be", 8_000),
)  # fmt: skip
_AMR_FRAME: Final = b"\x3c" + bytes(31)
"""20 ms at 12.2 kbit/s: FFmpeg decodes AMR and has no encoder of its own."""

_IMAGES: Final = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")


def sounds() -> tuple[File, ...]:
    """Audio in containers, of telephones, without a header, and in the other byte order."""
    contained = [(media_type, _encoded(form, codec, rate)) for media_type, form, codec, rate in _CONTAINERS]
    tone = _tone(8_000)[0]
    shorts = (tone * 32_767).astype("<i2")
    return (
        *contained,
        ("audio/amr", b"#!AMR\n" + 5 * _AMR_FRAME),
        ("audio/basic", _encoded("mulaw", "pcm_mulaw", 8_000)),
        ("audio/PCMU;rate=8000", _encoded("mulaw", "pcm_mulaw", 8_000)),
        ("audio/PCMA; rate=8000; channels=2", _encoded("alaw", "pcm_alaw", 8_000)),
        ("audio/L16;rate=8000", shorts.astype(">i2").tobytes()),
        ("audio/wav", _rifx(shorts)),
    )


def images() -> tuple[File, ...]:
    """A page in every accepted format."""
    page = Image.new("RGB", (40, 24), "white")
    return tuple((f"image/{form.lower()}", _saved(page, form)) for form in _IMAGES)


def _tone(rate: int) -> npt.NDArray[np.float32]:
    times = np.arange(round(_SECONDS * rate)) / rate
    return (0.1 * np.sin(2 * np.pi * 440.0 * times)).astype(np.float32)[None]


def _encoded(container: str, codec: str, rate: int) -> bytes:
    import av

    out = io.BytesIO()
    # Else Ogg and WebM have random numbers: a seed names every byte.
    with av.open(out, "w", format=container, options={"fflags": "+bitexact"}) as file:
        stream: Any = file.add_stream(codec, rate=rate, layout="mono")
        context = stream.codec_context
        frame = av.AudioFrame.from_ndarray(_tone(rate), format="fltp", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        converter = av.AudioResampler(format=context.format.name, layout="mono", rate=rate)
        for part in [*converter.resample(frame), *converter.resample(None)]:
            fifo.write(part)
        size = context.frame_size or 1_024
        while piece := fifo.read(size, partial=fifo.samples < size):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return out.getvalue()


def _rifx(samples: npt.NDArray[np.int16]) -> bytes:
    """A WAV file whose numbers have the other byte order."""
    head = struct.pack(">HHIIHH", 1, 1, 8_000, 16_000, 2, 16)
    data = samples.astype(">i2").tobytes()
    body = b"WAVEfmt " + struct.pack(">I", len(head)) + head + b"data" + struct.pack(">I", len(data)) + data
    return b"RIFX" + struct.pack(">I", len(body)) + body


def _saved(page: Image.Image, form: str) -> bytes:
    out = io.BytesIO()
    page.save(out, form)
    return out.getvalue()
