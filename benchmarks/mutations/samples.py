"""Sound media files of every accepted format, encoded from the sample case: real speech, real screens."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

CASE: Final = Path(__file__).parents[2] / "examples" / "payment-failed"
WIDEBAND_AMR: Final = CASE.parents[1] / "tests" / "derive" / "media" / "speech.amr-wb"
"""PyAV has no encoder of wideband AMR; this file was encoded from the sample case by vo-amrwbenc."""

SECONDS: Final = 2.0
_SIZE: Final = (320, 200)
_THUMBNAIL: Final = (80, 50)

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sound file; ``media_type`` is what a sender declares."""

    format: str
    media_type: str
    data: bytes

    @property
    def is_audio(self) -> bool:
        """True for audio, False for an image."""
        return self.media_type.startswith(("audio/", "video/"))


_AUDIO: Final[tuple[tuple[str, str, str, str, int, int], ...]] = (
    ("wav, 16 bits", "audio/wav", "wav", "pcm_s16le", 8_000, 1),
    ("wav, 24 bits", "audio/wav", "wav", "pcm_s24le", 22_050, 2),
    ("wav, floats", "audio/wav", "wav", "pcm_f32le", 16_000, 1),
    ("wav, µ-law", "audio/wav", "wav", "pcm_mulaw", 8_000, 2),
    ("wav, ADPCM", "audio/wav", "wav", "adpcm_ima_wav", 8_000, 1),
    ("mp3", "audio/mpeg", "mp3", "libmp3lame", 44_100, 2),
    ("mp3, telephone", "audio/mpeg", "mp3", "libmp3lame", 8_000, 1),
    ("flac", "audio/flac", "flac", "flac", 16_000, 2),
    ("ogg, opus", "audio/ogg", "ogg", "libopus", 48_000, 1),
    ("ogg, vorbis", "audio/ogg", "ogg", "vorbis", 32_000, 2),
    ("webm, opus", "audio/webm", "webm", "libopus", 48_000, 1),
    ("mp4, aac", "audio/mp4", "mp4", "aac", 48_000, 1),
    ("mp4, alac", "audio/mp4", "ipod", "alac", 16_000, 1),
    ("aac", "audio/aac", "adts", "aac", 48_000, 2),
    ("amr, narrow band", "audio/amr", "amr", "libopencore_amrnb", 8_000, 1),
    ("aiff", "audio/aiff", "aiff", "pcm_s16be", 16_000, 1),
    ("caf", "audio/x-caf", "caf", "pcm_s16be", 16_000, 1),
)
_HEADERLESS: Final = (
    ("headerless µ-law", "audio/PCMU", "mulaw", "pcm_mulaw"),
    ("headerless A-law", "audio/PCMA", "alaw", "pcm_alaw"),
    ("headerless 16 bits", "audio/L16;rate=8000", "s16be", "pcm_s16be"),
)
_IMAGES: Final[tuple[tuple[str, str, str, str, dict[str, Any]], ...]] = (
    ("png", "image/png", "PNG", "RGB", {}),
    ("png, palette", "image/png", "PNG", "P", {"transparency": 0}),
    ("png, 16 bits", "image/png", "PNG", "I;16", {}),
    ("jpeg", "image/jpeg", "JPEG", "RGB", {"quality": 85}),
    ("jpeg, progressive", "image/jpeg", "JPEG", "RGB", {"progressive": True}),
    ("jpeg, CMYK", "image/jpeg", "JPEG", "CMYK", {}),
    ("webp", "image/webp", "WEBP", "RGB", {}),
    ("webp, lossless", "image/webp", "WEBP", "RGBA", {"lossless": True}),
    ("avif", "image/avif", "AVIF", "RGB", {}),
    ("gif", "image/gif", "GIF", "P", {}),
    ("bmp", "image/bmp", "BMP", "RGB", {}),
    ("tiff", "image/tiff", "TIFF", "RGB", {}),
    ("tiff, LZW", "image/tiff", "TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("tiff, fax", "image/tiff", "TIFF", "1", {"compression": "group4"}),
)


@cache
def samples() -> tuple[Sample, ...]:
    """All formats, in a fixed order."""
    return (*_audio_samples(), *_image_samples())


def _audio_samples() -> Iterator[Sample]:
    for name, media_type, container, codec, rate, channels in _AUDIO:
        yield Sample(name, media_type, encode(container, codec, _speech(rate, channels), rate))
    if WIDEBAND_AMR.is_file():
        yield Sample("amr, wide band", "audio/amr", WIDEBAND_AMR.read_bytes())
    for name, media_type, container, codec in _HEADERLESS:
        yield Sample(name, media_type, encode(container, codec, _speech(8_000, 1), 8_000))


@cache
def _speech(rate: int, channels: int) -> Samples:
    """The first seconds of the sample call."""
    import av

    with av.open(str(CASE / "call.flac")) as container:
        resampler = av.AudioResampler(format="fltp", rate=rate)
        parts = [out.to_ndarray() for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.asarray(np.concatenate(parts, axis=1)[:channels, : round(SECONDS * rate)], dtype=np.float32)


def encode(container: str, codec: str, speech: Samples, rate: int) -> bytes:
    """Encode samples of shape ``(channels, samples)``."""
    import av

    out = io.BytesIO()
    layout = "stereo" if len(speech) == 2 else "mono"
    with av.open(out, "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=rate, options={"strict": "experimental"})  # vorbis
        stream.layout = layout
        if codec == "libopencore_amrnb":
            stream.bit_rate = 12_200
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(speech), format="fltp", layout=layout)
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        converter = av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate)
        for part in converter.resample(frame) + converter.resample(None):
            fifo.write(part)
        size = stream.codec_context.frame_size or 1024
        while piece := fifo.read(size, partial=fifo.samples < size):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return out.getvalue()


def _image_samples() -> Iterator[Sample]:
    screen = _screen()
    for name, media_type, kind, mode, options in _IMAGES:
        yield Sample(name, media_type, save(_in_mode(screen, mode), kind, **options))
    thumbnail = save(screen.resize(_THUMBNAIL), "JPEG")
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 0) + bytes(4) + thumbnail
    yield Sample("jpeg with a thumbnail", "image/jpeg", save(screen, "JPEG", exif=exif))
    frames = [screen.transpose(Image.Transpose.FLIP_TOP_BOTTOM), screen.convert("L").convert("RGB")]
    for kind in ("GIF", "WEBP", "PNG"):
        moving = save(screen, kind, save_all=True, append_images=frames, duration=80)
        yield Sample(f"{kind.lower()}, animated", f"image/{kind.lower()}", moving)


def _screen() -> Image.Image:
    path = min((CASE / "screenshots").iterdir(), key=lambda file: file.name)
    with Image.open(path) as screen:
        return screen.convert("RGB").resize(_SIZE, Image.Resampling.LANCZOS)


def _in_mode(screen: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(screen.convert("L"), dtype=np.uint16) * 257)
    return screen.convert(mode)


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode an image."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
