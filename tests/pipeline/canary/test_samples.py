"""Content of canaries: never the same, and readable."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from mmplatform.derive.media import audio
from mmplatform.pipeline.canary import samples


def test_two_canaries_have_nothing_in_common_that_a_memo_could_know():
    nonces = {samples.new_nonce() for _ in range(50)}
    assert len(nonces) == 50
    for make in (
        samples.chat_text,
        samples.nonce_words,
        samples.screenshot_png,
        lambda nonce: samples.speech_wav(nonce)[0],
    ):
        assert len({make(nonce) for nonce in nonces}) == 50


def test_the_same_nonce_makes_the_same_content():
    assert samples.chat_text("0f") == samples.chat_text("0f")
    assert samples.screenshot_png("0f") == samples.screenshot_png("0f")


def test_speech_is_three_seconds_at_the_models_rate_and_as_loud_as_the_sample():
    wav, seconds = samples.speech_wav("0f")
    info = audio.probe(wav, "audio/wav")
    assert (info.sample_rate, info.channels) == (16_000, 1)
    assert abs(info.duration_s - seconds) < 0.01
    decoded = audio.decode(wav, "audio/wav")
    original = audio.decode(samples.CANARY_SPEECH.read_bytes(), "audio/ogg")
    assert 0.75 < np.abs(decoded).max() / np.abs(original).max() < 1.05


def test_an_image_is_as_small_as_the_ocr_reads_without_enlarging_it():
    import rapidocr

    config = yaml.safe_load((Path(rapidocr.__file__).parent / "config.yaml").read_text())
    image = Image.open(io.BytesIO(samples.screenshot_png("0f")))
    assert image.size == (config["Det"]["limit_side_len"],) * 2
    assert len(samples.screenshot_png("0f")) < 10_000
