"""Audio of real devices: damaged, cut off, joined, or streamed. What decodes keeps its time, the rest is named.

The signal is a burst in each second: their onsets show whether anything was moved.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest

from mmplatform.derive.media.audio import SAMPLE_RATE, decode, probe, read, split
from mmplatform.errors import Rejected
from tests.derive.media.audio_files import encoded, tones

LENGTH_S = 6.0
NOISE = np.random.default_rng(1)
FORMATS = {
    "mp3": ("audio/mpeg", "mp3", "libmp3lame", 44_100, 2),
    "mp3 of a telephone": ("audio/mpeg", "mp3", "libmp3lame", 8_000, 1),
    "flac": ("audio/flac", "flac", "flac", 16_000, 1),
    "opus": ("audio/ogg", "ogg", "libopus", 48_000, 1),
    "webm": ("audio/webm", "webm", "libopus", 48_000, 1),
    "mp4": ("audio/mp4", "mp4", "aac", 48_000, 1),
    "wav": ("audio/wav", "wav", "pcm_s16le", 8_000, 1),
    "aiff": ("audio/aiff", "aiff", "pcm_s24be", 16_000, 2),
    "caf": ("audio/x-caf", "caf", "pcm_s16be", 16_000, 1),
    "au": ("audio/au", "au", "pcm_mulaw", 8_000, 1),
}


def bursts(rate: int, channels: int, seconds: float = LENGTH_S) -> np.ndarray:
    t = np.arange(round(rate * seconds)) / rate
    return (tones(rate, channels, seconds) * (t % 1.0 < 0.5)).astype(np.float32)


def onsets(channel: np.ndarray) -> list[float]:
    """Start of each burst, to a hundredth of a second."""
    size = SAMPLE_RATE // 100
    loud = np.array([np.abs(channel[k : k + size]).max() > 0.05 for k in range(0, channel.size - size, size)])
    return [k / 100 for k in range(20, loud.size) if loud[k] and not loud[k - 20 : k].any()]


@pytest.fixture(params=list(FORMATS))
def audio(request) -> tuple[bytes, str]:
    media_type, container, codec, rate, channels = FORMATS[request.param]
    return encoded(container, codec, bursts(rate, channels), rate), media_type


def damaged(data: bytes, positions, size: int) -> bytes:
    out = bytearray(data)
    for position in positions:
        out[position : position + size] = NOISE.integers(0, 256, size, dtype=np.uint8).tobytes()
    return bytes(out)


def covered(second: float, missing) -> bool:
    return any(start - 0.11 <= second <= end + 0.11 for start, end in missing)


def test_sound_files_miss_nothing(audio):
    content = read(*audio)
    assert content.missing == ()
    assert probe(*audio).duration_s == pytest.approx(content.samples.shape[1] / SAMPLE_RATE, abs=0.002)


@pytest.mark.parametrize("fill", ["noise", "zeros"])
def test_damaged_bytes_move_no_later_audio(audio, fill):
    data, media_type = audio
    middle = len(data) // 2
    bad = damaged(data, [middle], 250) if fill == "noise" else data[:middle] + bytes(250) + data[middle + 250 :]
    content = read(bad, media_type)
    assert content.samples.shape[1] / SAMPLE_RATE == pytest.approx(
        read(*audio).samples.shape[1] / SAMPLE_RATE, abs=0.08
    )
    assert probe(bad, media_type).duration_s == pytest.approx(content.samples.shape[1] / SAMPLE_RATE, abs=0.002)
    found, wanted = onsets(content.samples[0]), onsets(read(*audio).samples[0])
    for second in wanted:
        assert covered(second, content.missing) or any(abs(second - other) <= 0.08 for other in found), (second, found)
    for start, end in content.missing:
        span = content.samples[:, round(start * SAMPLE_RATE) + 400 : round(end * SAMPLE_RATE) - 400]
        assert not np.abs(span).max(initial=0.0) > 0.02


@pytest.mark.parametrize("name", ["flac", "mp3", "wav", "webm", "aiff", "caf", "au"])
def test_of_a_file_that_was_cut_off_the_rest_is_named_missing(name):
    media_type, container, codec, rate, channels = FORMATS[name]
    data = encoded(container, codec, bursts(rate, channels), rate)
    cut = data[: int(0.9 * len(data))]
    content = read(cut, media_type)
    [(start, end)] = content.missing
    assert 4.9 < start < 5.5
    assert end == pytest.approx(LENGTH_S, abs=0.05)
    assert probe(cut, media_type).duration_s == pytest.approx(LENGTH_S, abs=0.05)
    with pytest.raises(Rejected, match=r"ends .* before the length that it states"):
        list(split(cut, 1.0))


def test_a_cut_file_of_pages_ends_where_its_last_page_would():
    data = encoded("ogg", "libopus", bursts(48_000, 1), 48_000)
    content = read(data[: int(0.9 * len(data))], "audio/ogg")
    assert [(round(start), round(end)) for start, end in content.missing] == [(5, 6)]


@pytest.mark.parametrize("name", ["flac", "mp3", "wav", "aiff", "caf", "au"])
@pytest.mark.parametrize("reads", [probe, decode])
def test_a_file_of_which_less_than_half_is_present_is_refused(name, reads):
    media_type, container, codec, rate, channels = FORMATS[name]
    data = encoded(container, codec, bursts(rate, channels), rate)
    with pytest.raises(Rejected, match="send the whole file again"):
        reads(data[: int(0.3 * len(data))], media_type)


@pytest.mark.parametrize("name", ["mp3", "flac"])
def test_two_per_cent_of_bad_packets_cost_only_themselves(name):
    media_type, container, codec, rate, _ = FORMATS[name]
    data = encoded(container, codec, bursts(rate, 1, 20.0), rate)
    bad = damaged(data, [int(len(data) * share) for share in np.linspace(0.05, 0.95, 12)], 24)
    content = read(bad, media_type)
    assert content.samples.shape[1] / SAMPLE_RATE == pytest.approx(20.0, abs=0.1)
    assert sum(end - start for start, end in content.missing) < 2.0
    assert probe(bad, media_type).duration_s == pytest.approx(20.0, abs=0.1)


PIECES = {"mono, 22 kHz": (22_050, 1), "stereo, 44 kHz": (44_100, 2), "mono, 8 kHz": (8_000, 1)}


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 2), (2, 1), (0, 2)])
def test_an_mp3_may_change_its_rate_and_channels(order):
    formats = [list(PIECES.values())[k] for k in order]
    joined = b"".join(encoded("mp3", "libmp3lame", tones(rate, channels, 2.0), rate) for rate, channels in formats)
    info, content = probe(joined, "audio/mpeg"), read(joined, "audio/mpeg")
    channels = max(channels for _, channels in formats)
    assert (info.channels, info.sample_rate) == (channels, formats[0][0])
    assert content.samples.shape[0] == channels
    assert content.missing == ()
    assert content.samples.shape[1] / SAMPLE_RATE == pytest.approx(2 * len(order), abs=0.3)
    assert info.duration_s == pytest.approx(content.samples.shape[1] / SAMPLE_RATE, abs=0.01)
    for k in range(len(order)):
        middle = content.samples[:, (2 * k + 1) * SAMPLE_RATE - 4000 :][:, :8000]
        assert np.sqrt(np.mean(middle**2, axis=1)) == pytest.approx([0.5 / np.sqrt(2)] * channels, rel=0.1)
    chunks = list(split(joined, 1.0))
    assert [index for index, *_ in chunks] == list(range(len(chunks)))
    ends = [start_s + probe(wav, "audio/wav").duration_s for _, start_s, wav in chunks]
    assert ends[:-1] == pytest.approx([start_s for _, start_s, _ in chunks[1:]], abs=1e-3)
    assert ends[-1] == pytest.approx(info.duration_s, abs=0.01)
    assert {probe(wav, "audio/wav").sample_rate for *_, wav in chunks} == {rate for rate, _ in formats}


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


TITLE = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"Lavf60.16.100\0"))
TRAILERS = {"nothing": b"", "a title": TITLE, "a title and an odd tag": TITLE + chunk(b"id3 ", b"abcde")}


def streamed_wav(size: int, trailer: bytes, seconds: float = 1.0) -> bytes:
    body = (np.sin(np.arange(round(seconds * SAMPLE_RATE)) * 0.3) * 9000).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    return b"RIFF\xff\xff\xff\xffWAVE" + form + struct.pack("<4sI", b"data", size) + body + trailer


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF - 44, 2 * SAMPLE_RATE])
def test_a_streaming_wav_lasts_as_long_as_its_samples(size, trailer):
    data = streamed_wav(size, TRAILERS[trailer])
    assert probe(data, "audio/wav").duration_s == 1.0
    assert read(data, "audio/wav").missing == ()
    assert [wav[44:] for *_, wav in split(data, 5.0)] == [data[44 : 44 + 2 * SAMPLE_RATE]]


def test_a_streaming_wav_of_a_title_alone_has_no_samples():
    with pytest.raises(Rejected, match="without samples"):
        probe(streamed_wav(0, TITLE, 0.0), "audio/wav")


def test_the_name_of_a_trailer_within_the_samples_cuts_nothing():
    data = bytearray(streamed_wav(0, b""))
    data[10_000:10_008] = b"LIST" + struct.pack("<I", 64)
    assert probe(bytes(data), "audio/wav").duration_s == 1.0
