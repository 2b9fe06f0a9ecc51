"""Audio and images as strangers send them: damaged, odd, or only looking odd."""

from __future__ import annotations

import io
import json
import struct
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


def headerless_mulaw() -> bytes:
    """The samples alone, as a telephone system sends them."""
    file = mulaw()
    return file[file.index(b"data") + 8 :]


def webm() -> bytes:
    """The whole of it as a browser records it."""
    return audio_file("webm", "libopus", speech(48_000)[None], 48_000)


def later_slice() -> bytes:
    """A slice behind the first one: clusters without a header."""
    recording = webm()
    return recording[recording.index(b"\x1f\x43\xb6\x75") :]


def heic() -> bytes:
    return b"\x00\x00\x00\x24ftypheic\x00\x00\x00\x00mif1heic" + bytes(500)


def seven_channels() -> bytes:
    """It on the first of seven channels; the others are silent."""
    return wav(np.concatenate([speech()[None], np.zeros((6, speech().size), dtype=np.float32)]))


def silence(seconds: float = PIECE_S) -> bytes:
    return wav(np.zeros((1, round(seconds * 8_000)), dtype=np.float32))


def not_a_number() -> bytes:
    return float_wav(np.where(np.arange(8_000) % 100 == 0, np.nan, 0.1), 8_000)


def mp3() -> bytes:
    return audio_file("mp3", "libmp3lame", tones(44_100, 1, 0.5), 44_100)


def joined_mp3() -> bytes:
    """A second of stereo at another rate, then what is said, in mono."""
    jingle = audio_file("mp3", "libmp3lame", 0.1 * tones(44_100, 2, 1.0), 44_100)
    return jingle + audio_file("mp3", "libmp3lame", speech(16_000)[None], 16_000)


def joined_recordings() -> bytes:
    """A second of silence, what is said in another codec, and a recording that was stopped at once, in one Ogg file."""
    quiet = audio_file("ogg", "vorbis", np.zeros((2, 32_000), dtype=np.float32), 32_000)
    empty = audio_file("ogg", "libopus", np.zeros((1, 0), dtype=np.float32), 48_000)
    return quiet + audio_file("ogg", "libopus", speech(48_000)[None], 48_000) + empty


def slice_of_mp3() -> bytes:
    """A stream that begins in the middle of a frame, half a second before what is said."""
    voice = np.concatenate([np.zeros(8_000, dtype=np.float32), speech(16_000)])
    return audio_file("mp3", "libmp3lame", voice[None], 16_000)[100:]


def voice_memo() -> bytes:
    """What is said, as a telephone records it."""
    return audio_file("amr", "libopencore_amrnb", speech()[None], 8_000)


def damaged_flac() -> bytes:
    """What is said, of which some frames in the last third cannot be decoded."""
    data = bytearray(audio_file("flac", "flac", speech()[None], 8_000))
    start = len(data) * 4 // 5
    data[start : start + 250] = bytes(250)
    return bytes(data)


def cut_off() -> bytes:
    """Nine tenths of what is said; the header states all of it."""
    whole = wav(speech()[None])
    return whole[: 44 + (len(whole) - 44) * 9 // 20 * 2]


def streamed_wav(second: float) -> bytes:
    """A piece whose header states no length, with a title behind its samples."""
    piece = bytearray(spoken(second))
    piece[4:8] = piece[40:44] = b"\xff" * 4
    title = b"INFO" + b"ISFT" + struct.pack("<I", 40_000) + b"t" * 40_000
    return bytes(piece) + b"LIST" + struct.pack("<I", len(title)) + title


def bleeding() -> bytes:
    """What is said on the first of two channels, and 3 ms later, quieter, on the second."""
    voice = speech(16_000)
    return wav(np.stack([voice, 0.69 * np.concatenate([np.zeros(48, dtype=np.float32), voice[:-48]])]), 16_000)


def damaged_jpeg() -> bytes:
    data = picture("refund pending", form="JPEG", size=(420, 300))
    return data[: len(data) // 2] + bytes(250) + data[len(data) // 2 + 250 :]


def cut_jpeg() -> bytes:
    """Half of a photo, whose thumbnail has an end marker of its own."""
    thumbnail = picture("small", form="JPEG", size=(160, 120))
    tag = b"Exif\0\0MM\0*\0\0\0\x08" + bytes(6) + thumbnail
    whole = picture("refund pending", form="JPEG", size=(1600, 900), exif=tag)
    return whole[: max(len(whole) // 2, whole.rfind(b"\xff\xda") + 200)]


def white_on_nothing(text: str) -> bytes:
    page = Image.new("RGBA", (420, 90), (0, 0, 0, 0))
    ImageDraw.Draw(page).text((12, 24), text, fill="white", font=ImageFont.load_default(28))
    return saved(page)


def turned(text: str) -> bytes:
    page = Image.open(io.BytesIO(picture(text, (700, 240))))
    return saved(page.rotate(180))


def on_its_side(text: str) -> bytes:
    """A TIFF whose pixels lie on their side; its orientation says so."""
    page = Image.open(io.BytesIO(picture(text)))
    return saved(page.transpose(Image.Transpose.ROTATE_90), "TIFF", tiffinfo={0x112: 6})


def deep_tiff(text: str) -> bytes:
    """32 bits a sample, of which 8 are used."""
    return saved(Image.open(io.BytesIO(picture(text))).convert("I"), "TIFF")


def vector_graphic() -> bytes:
    return b"<!-- made by a drawing program -->\n<svg xmlns='http://www.w3.org/2000/svg'><text>refund</text></svg>"


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
