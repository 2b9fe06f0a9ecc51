"""Inputs that ``benchmarks.accuracy`` makes: they are what their rows say, and each end of a sentence is told apart."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy import odd_screens, speech, voices
from benchmarks.machine import peak_bytes, reset_peak
from benchmarks.screen_memory import screens
from mmplatform.artifacts import Provenance, Utterance
from mmplatform.derive.media.audio import SAMPLE_RATE, decode
from mmplatform.derive.media.image import decode as decode_image
from tests.builders import position, stamps

SENTENCE = voices.Sentence("es", "Un momento, por favor.", 2.0, 4.0)


def row(start_s, end_s, text, language):
    return Utterance(
        artifact_id="0" * 32,
        modality="call",
        conversation_id="call",
        subject_id="bench",
        stamps=stamps(),
        provenance=Provenance(event_ids=("e",), position=position(), deriver="call", deriver_version="1", seconds=0.0),
        call_id="call",
        channel=0,
        speaker="channel-0",
        start_s=start_s,
        end_s=end_s,
        text=text,
        language=language,
        confidence=0.5 if text else 0.0,
        status="final" if text else "gap",
    )


@pytest.mark.parametrize(
    ("rows", "end"),
    [
        ([row(2.1, 3.9, "un momento", "es")], voices.OWN),
        ([row(1.5, 4.5, "a moment", "en")], voices.ENGLISH),
        ([row(2.0, 3.0, "un momento", "es"), row(3.0, 4.0, "for four", "en")], voices.ENGLISH),
        ([row(2.0, 4.0, "um momento", "pt")], voices.FOREIGN),
        ([row(2.0, 4.0, "", "es")], voices.WORDLESS),
        ([row(3.8, 7.0, "otra", "es")], voices.MISSING),
        ([], voices.MISSING),
    ],
)
def test_a_sentence_ends_in_one_way(rows, end):
    assert voices.end_of(SENTENCE, rows) == end


def test_a_stereo_call_keeps_its_channels():
    t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    both = np.stack([0.5 * np.sin(2 * np.pi * hz * t) for hz in (300, 700)]).astype(np.float32)
    assert np.abs(decode(speech._wav(both), "audio/wav") - both).max() < 1e-3
    assert decode(speech._wav(both[0]), "audio/wav").shape == (1, t.size)


def test_a_sparse_screen_has_one_text_and_a_seed_gives_the_same_again():
    first, again = (list(odd_screens.sparse_screens(8, 3)) for _ in range(2))
    assert [text for text, _ in first] == [text for text, _ in again]
    assert all(np.array_equal(one, two) for (_, one), (_, two) in zip(first, again, strict=True))
    for number, (text, pixels) in enumerate(first):
        assert pixels.shape == (1080, 1920, 3)
        rows = np.flatnonzero((pixels != pixels[0, 0]).any(axis=(1, 2)))
        assert 5 < np.ptp(rows) < 40
        assert (" " in text) == bool(number % 2)


@pytest.mark.parametrize("kind", odd_screens.TRANSPARENCIES)
def test_a_transparent_drawing_shows_only_what_is_not_its_background(kind, tmp_path):
    page = Image.new("L", (200, 100), 240)
    page.paste(10, (50, 40, 150, 60))
    page.save(tmp_path / "page.png")
    data = odd_screens.transparent_png(tmp_path / "page.png", kind)
    rgba = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert rgba[0, 0, 3] == 0
    assert rgba[50, 100, 3] == 255
    pixels = decode_image(data, 1_000_000).astype(int)
    assert np.abs(pixels[50, 100] - pixels[0, 0]).min() > 100


def test_large_screens_are_of_the_size_and_no_two_are_equal():
    images = screens((1600, 900), 1)
    found = [next(images) for _ in range(3)]
    assert {Image.open(io.BytesIO(data)).size for data in found} == {(1600, 900)}
    assert len(set(found)) == 3


def test_a_peak_of_memory_is_that_since_the_reset():
    # A process of its own: memory that the test process has freed may serve a new block without any growth.
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "block = bytearray(80_000_000); print(flush=True); input(); del block; print(flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.readline()
        assert peak_bytes(process.pid)[1] >= 80_000_000
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        resident, peak = peak_bytes(process.pid)
        assert peak >= resident + 70_000_000
        reset_peak(process.pid)
        resident, peak = peak_bytes(process.pid)
        assert peak < resident + 20_000_000
        process.stdin.write("\n")
