"""Audio and images as strangers send them: damaged, odd, or only looking odd."""

from __future__ import annotations

import io
import json
import wave
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.derive.media.audio_files import encoded as audio_file
from tests.derive.media.audio_files import float_wav, tones

CASE = Path(__file__).parents[3] / "examples" / "payment-failed"
SPOKEN = json.loads((CASE / "ground_truth.json").read_text())["call"]["utterances"]
PIECE_S = 2.0


@cache
def speech(rate: int = 8_000) -> np.ndarray:
    """The first thing that is said in the sample call, one channel."""
    first = SPOKEN[0]
    with av.open(str(CASE / "call.flac")) as container:
        resampler = av.AudioResampler(format="fltp", rate=rate)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return samples[first["channel"], : round((first["end_s"] + 0.5) * rate)]


def spoken(second: float = 0.0, seconds: float = PIECE_S) -> bytes:
    """A piece of it as a WAV file."""
    return wav(speech()[None, round(second * 8_000) : round((second + seconds) * 8_000)])


def wav(samples: np.ndarray, rate: int = 8_000) -> bytes:
    """Samples of shape ``(channels, samples)`` as 16 bits."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1).T * 32_767).astype("<i2").tobytes())
    return out.getvalue()


def mulaw() -> bytes:
    """The whole of it as a telephone exchange records it."""
    return audio_file("wav", "pcm_mulaw", speech()[None], 8_000)


def seven_channels() -> bytes:
    """It on the first of seven channels; the others are silent."""
    return wav(np.concatenate([speech()[None], np.zeros((6, speech().size), dtype=np.float32)]))


def silence(seconds: float = PIECE_S) -> bytes:
    return wav(np.zeros((1, round(seconds * 8_000)), dtype=np.float32))


def not_a_number() -> bytes:
    return float_wav(np.where(np.arange(8_000) % 100 == 0, np.nan, 0.1), 8_000)


def mp3() -> bytes:
    return audio_file("mp3", "libmp3lame", tones(44_100, 1, 0.5), 44_100)


def picture(text: str, size: tuple[int, int] = (420, 90), mode: str = "RGB", form: str = "PNG", **options) -> bytes:
    """Black words on white."""
    page = Image.new("RGB", size, "white")
    ImageDraw.Draw(page).text((12, 24), text, fill="black", font=ImageFont.load_default(28))
    return saved(page.convert(mode), form, **options)


def saved(page: Image.Image, form: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    page.save(out, form, **options)
    return out.getvalue()


def animated(text: str) -> bytes:
    first = Image.open(io.BytesIO(picture(text)))
    return saved(first, save_all=True, append_images=[Image.new("RGB", first.size, "red")], duration=100)


def bomb(side: int = 15_000) -> bytes:
    """28 MB of pixels in 30 kB."""
    return saved(Image.new("1", (side, side)))
