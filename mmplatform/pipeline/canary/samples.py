"""Content of canaries: each with a nonce, so that no memo and no cache answers for a model."""

from __future__ import annotations

import io
import random
import secrets
from pathlib import Path
from typing import Final

CANARY_SPEECH: Final = Path(__file__).parent / "speech.ogg"
"""Three seconds of the sample call: "Did you try another browser, or another card?"."""

_SPEECH_TYPE: Final = "audio/ogg"
_MIN_GAIN: Final = 0.8
_NOISE: Final = 0.001
_CONSONANTS: Final = "bdfgklmnprstvz"
_VOWELS: Final = "aeiou"
_WORDS: Final = 4
_SYLLABLES: Final = 3
_IMAGE_SIZE: Final = (736, 736)
"""The OCR enlarges an image whose shorter side is less: one of 720 x 140 took 4.9 s of processor, this one 0.8 s."""


def new_nonce() -> str:
    """Twelve hex digits that no canary had before."""
    return secrets.token_hex(6)


def nonce_words(nonce: str) -> str:
    """A nonce as words that can be read and spoken, which no rule of redaction takes for a number."""
    chosen = random.Random(nonce)  # noqa: S311 - no secret
    words = (
        "".join(chosen.choice(_CONSONANTS) + chosen.choice(_VOWELS) for _ in range(_SYLLABLES)) for _ in range(_WORDS)
    )
    return " ".join(words)


def chat_text(nonce: str) -> str:
    """Text of a chat."""
    return f"The canary sings {nonce_words(nonce)} and nothing else."


def screenshot_png(nonce: str) -> bytes:
    """Image of a line of text, as PNG."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", _IMAGE_SIZE, "white")
    ImageDraw.Draw(image).text((24, 340), f"Canary {nonce_words(nonce)}", fill="black", font_size=32)
    encoded = io.BytesIO()
    image.save(encoded, format="PNG")
    return encoded.getvalue()


def speech_wav(nonce: str) -> tuple[bytes, float]:
    """Speech as 16-bit WAV, a little louder or softer than any before and with faint noise; and its seconds."""
    import numpy as np

    from mmplatform.derive.media.audio import SAMPLE_RATE, decode
    from mmplatform.derive.media.wav import to_wav

    samples = decode(CANARY_SPEECH.read_bytes(), _SPEECH_TYPE)[:1]
    noise = np.random.default_rng(int(nonce, 16))
    changed = samples * noise.uniform(_MIN_GAIN, 1.0) + noise.normal(0.0, _NOISE, samples.shape)
    pcm = (np.clip(changed[0], -1.0, 1.0) * np.iinfo(np.int16).max).astype(np.int16)
    return to_wav(pcm, SAMPLE_RATE, 1), len(pcm) / SAMPLE_RATE
