"""Untrusted audio: every accepted type, and everything that must be refused with its reason."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmplatform.derive.media.audio import MAX_SECONDS, AudioInfo, decode, probe, split
from mmplatform.errors import Rejected, TooLarge, UnsupportedMedia
from tests.derive.media.audio_files import SECONDS, TONES, encoded, float_wav, tones


def loudest(channel: np.ndarray, rate: int = 16_000) -> float:
    """The frequency, in Hz, at which most energy lies."""
    spectrum = np.abs(np.fft.rfft(channel * np.hanning(channel.size)))
    return float(np.fft.rfftfreq(channel.size, 1 / rate)[spectrum.argmax()])


FORMATS = [
    ("audio/wav", "wav", "pcm_s16le", 8000, 2, 0.0),
    ("audio/wav", "wav", "pcm_mulaw", 8000, 1, 0.0),
    ("audio/wav", "wav", "pcm_alaw", 8000, 2, 0.0),
    ("audio/x-wav", "wav", "pcm_s24le", 44_100, 2, 0.0),
    ("audio/wav", "wav", "pcm_f32le", 16_000, 1, 0.0),
    ("audio/mpeg", "mp3", "libmp3lame", 44_100, 2, 0.08),
    ("audio/flac", "flac", "flac", 22_050, 2, 0.0),
    ("audio/ogg; codecs=opus", "ogg", "libopus", 48_000, 2, 0.03),
    ("audio/ogg", "ogg", "vorbis", 32_000, 2, 0.03),
    ("audio/mp4", "mp4", "aac", 48_000, 2, 0.08),
    ("audio/webm;codecs=opus", "webm", "libopus", 48_000, 1, 0.03),
]


@pytest.mark.parametrize(("media_type", "container", "codec", "rate", "channels", "slack"), FORMATS)
def test_every_type_is_probed_and_decoded_channel_by_channel(media_type, container, codec, rate, channels, slack):
    data = encoded(container, codec, tones(rate, channels), rate)
    info = probe(data, media_type)
    assert (info.sample_rate, info.channels) == (rate, channels)
    assert info.duration_s == pytest.approx(SECONDS, abs=slack + 1e-9)
    samples = decode(data, media_type)
    assert samples.dtype == np.float32
    assert samples.shape[0] == channels
    assert samples.shape[1] / 16_000 == pytest.approx(info.duration_s, abs=0.002)
    for channel, tone in zip(samples, TONES, strict=False):
        assert loudest(channel) == pytest.approx(tone, abs=2)
        assert np.sqrt(np.mean(channel[4000:-4000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_six_channels_stay_six():
    data = encoded("flac", "flac", tones(16_000, 6), 16_000, layout="5.1")
    assert probe(data, "audio/flac").channels == 6
    assert [round(loudest(channel), -1) for channel in decode(data, "audio/flac")] == [440, 1000] * 3


def test_samples_without_a_header_are_read_by_their_media_type():
    pcm = (tones(8000, 2).T * 32767).astype(">i2").tobytes()
    assert probe(pcm, "audio/L16;rate=8000;channels=2") == AudioInfo(8000, 2, SECONDS, "pcm_s16le")
    left, right = decode(pcm, "audio/l16; rate=8000; channels=2")
    assert (loudest(left), loudest(right)) == pytest.approx(TONES, abs=2)
    mulaw = encoded("mulaw", "pcm_mulaw", tones(8000, 1), 8000)
    assert probe(mulaw, "audio/basic") == AudioInfo(8000, 1, SECONDS, "pcm_mulaw")
    assert loudest(decode(mulaw, "audio/basic")[0]) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("media_type", ["audio/L16", "audio/L16;rate=many", "audio/L16;rate=8000;channels=99"])
def test_l16_without_its_parameters_is_refused(media_type):
    with pytest.raises(UnsupportedMedia, match="rate=8000"):
        probe(bytes(32), media_type)


WAV = encoded("wav", "pcm_s16le", tones(16_000, 1), 16_000)
MP3 = encoded("mp3", "libmp3lame", tones(44_100, 1), 44_100)
FLAC = encoded("flac", "flac", tones(16_000, 1, 0.3), 16_000)
OGG = encoded("ogg", "libopus", tones(16_000, 1, 0.3), 16_000)
NOT_FINITE = np.array([0.0, np.nan, 0.0] * 999)
BAD = {
    "no bytes": (b"", "audio/wav", Rejected, "zero bytes"),
    "a header cut short": (WAV[:30], "audio/wav", Rejected, "decoded"),
    "a header alone": (WAV[:44], "audio/wav", Rejected, "without samples|decoded"),
    "another type": (MP3, "audio/wav", UnsupportedMedia, "declared as audio/wav, but the bytes are audio/mpeg"),
    "a type that is not accepted": (WAV, "audio/midi", UnsupportedMedia, "audio/midi is not accepted"),
    "no type": (WAV, "", UnsupportedMedia, "unknown is not accepted"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "audio/wav", UnsupportedMedia, "bytes are image/png"),
    "a playlist": (b"#EXTM3U\n/etc/passwd\n", "audio/mpeg", UnsupportedMedia, "no accepted type"),
    "a later piece of a webm": (bytes(500), "audio/webm", UnsupportedMedia, "only the first slice"),
    "NaN samples": (float_wav(NOT_FINITE), "audio/wav", Rejected, "NaN"),
    "infinite samples": (float_wav(np.full(999, np.inf)), "audio/wav", Rejected, "NaN"),
    "an odd rate": (encoded("wav", "pcm_s16le", tones(16_000, 1), 1000), "audio/wav", Rejected, "1000 Hz"),
    "half a sample": (bytes(7), "audio/L16;rate=8000", Rejected, "whole number"),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("reads", [probe, decode])
def test_bytes_that_cannot_be_decoded_are_refused_with_the_reason(what, reads):
    data, media_type, error, reason = BAD[what]
    with pytest.raises(error, match=reason):
        reads(data, media_type)


def test_nine_channels_are_too_many():
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(9)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(18 * 100))
    with pytest.raises(Rejected, match="9 channels"):
        probe(out.getvalue(), "audio/wav")


def test_a_small_file_that_unpacks_into_too_much_is_refused():
    data = encoded("flac", "flac", np.zeros((1, round((MAX_SECONDS + 1) * 8000)), dtype=np.float32), 8000)
    assert len(data) < 200_000
    with pytest.raises(TooLarge, match="split it"):
        probe(data, "audio/flac")


def test_samples_over_full_scale_are_clipped():
    assert np.abs(decode(float_wav(np.full(1600, 7.0)), "audio/wav")).max() == 1.0


@pytest.mark.parametrize("read", [probe, decode])
def test_an_unknown_codec_is_refused(read):
    unknown = bytearray(WAV)
    unknown[34] = 0  # bits per sample: PCM of none
    with pytest.raises(Rejected, match="no decoder"):
        read(bytes(unknown), "audio/wav")
    with pytest.raises(Rejected, match="no decoder"):
        list(split(bytes(unknown), 1.0))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_decoded_or_refused_and_nothing_else(data):
    container = data.draw(st.sampled_from(["wav", "mp3", "flac", "ogg"]))
    original = {"wav": WAV, "mp3": MP3, "flac": FLAC, "ogg": OGG}[container]
    damaged = bytearray(original[: data.draw(st.integers(1, len(original)))])
    for offset in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=8)):
        damaged[offset] = data.draw(st.integers(0, 255))
    media_type = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg"}[container]
    try:
        list(split(bytes(damaged), 0.1))
        samples = decode(bytes(damaged), media_type)
    except Rejected:
        return
    assert np.isfinite(samples).all()
    assert samples.size
    assert probe(bytes(damaged), media_type).duration_s > 0


@pytest.mark.parametrize(("container", "codec", "rate"), [("wav", "pcm_s16le", 8000), ("flac", "flac", 44_100)])
def test_a_file_is_cut_without_losing_a_sample(tmp_path, container, codec, rate):
    original = encoded(container, codec, tones(rate, 2, 2.3), rate)
    path = tmp_path / f"call.{container}"
    path.write_bytes(original)
    chunks = list(split(path, 0.5))
    assert [(index, start_s) for index, start_s, _ in chunks] == [(n, n * 0.5) for n in range(5)]
    infos = [probe(wav, "audio/wav") for _, _, wav in chunks]
    assert {(info.sample_rate, info.channels) for info in infos} == {(rate, 2)}
    assert [info.duration_s for info in infos] == pytest.approx([0.5] * 4 + [0.3], abs=1e-3)
    joined = np.concatenate([decode(wav, "audio/wav", rate=rate) for _, _, wav in chunks], axis=1)
    assert np.abs(joined - decode(original, f"audio/{container}", rate=rate)).max() <= 1 / 32768
    assert [wav for *_, wav in split(original, 0.5)] == [wav for *_, wav in chunks]


def test_a_file_of_another_kind_is_not_cut(tmp_path):
    path = tmp_path / "notes.wav"
    path.write_text("#EXTM3U\nother.wav\n")
    with pytest.raises(UnsupportedMedia, match="no audio of an accepted type"):
        list(split(path, 1.0))
