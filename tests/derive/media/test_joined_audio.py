"""Audio files that consist of several, or begin in the middle: all of it is decoded, or the refusal says why."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from mmplatform.derive.media.audio import decode, probe, read, split
from mmplatform.derive.media.joined import MAX_JOINED_FILES
from mmplatform.errors import Rejected, TooLarge, UnsupportedMedia
from tests.derive.media.audio_files import encoded, tones

WIDEBAND = (Path(__file__).parent / "speech.amr-wb").read_bytes()
"""Speech of the sample case, encoded by vo-amrwbenc at 12.65 kbit/s."""

SECONDS = 1.0
FORMATS = {
    "wav": ("audio/wav", "wav", "pcm_s16le", 16_000, 1),
    "µ-law": ("audio/wav", "wav", "pcm_mulaw", 8_000, 2),
    "mp3": ("audio/mpeg", "mp3", "libmp3lame", 44_100, 1),
    "flac": ("audio/flac", "flac", "flac", 16_000, 1),
    "opus": ("audio/ogg", "ogg", "libopus", 48_000, 1),
    "vorbis": ("audio/ogg", "ogg", "vorbis", 32_000, 2),
    "webm": ("audio/webm", "webm", "libopus", 48_000, 1),
    "mp4": ("audio/mp4", "mp4", "aac", 48_000, 1),
    "aac": ("audio/aac", "adts", "aac", 48_000, 1),
    "aiff": ("audio/aiff", "aiff", "pcm_s16be", 16_000, 1),
    "caf": ("audio/x-caf", "caf", "pcm_s16be", 16_000, 1),
    "amr": ("audio/amr", "amr", "libopencore_amrnb", 8_000, 1),
    "au": ("audio/au", "au", "pcm_mulaw", 8_000, 1),
}


def sound(name: str) -> bytes:
    _, container, codec, rate, channels = FORMATS[name]
    return encoded(container, codec, tones(rate, channels, SECONDS), rate)


def silent_header(name: str) -> bytes:
    """A file of a format whose recording ended before its first sample."""
    _, container, codec, rate, channels = FORMATS[name]
    return encoded(container, codec, tones(rate, channels, 0.0), rate)


def loud_s(data: bytes, media_type: str) -> float:
    """Seconds of audio that is not silent."""
    samples = np.abs(decode(data, media_type)[0])
    return sum(float(samples[k : k + 800].max()) > 0.1 for k in range(0, samples.size, 800)) / 20


@pytest.mark.parametrize("name", FORMATS)
def test_joined_files_are_decoded_to_the_end_of_the_last_one(name):
    data, media_type = sound(name), FORMATS[name][0]
    assert loud_s(data * 3, media_type) == pytest.approx(3 * SECONDS, abs=0.35)
    assert probe(data * 3, media_type).duration_s == pytest.approx(3 * probe(data, media_type).duration_s, abs=0.35)


@pytest.mark.parametrize("order", ["last", "first", "middle", "twice"])
@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_part_of_a_joined_file_takes_nothing_from_the_others(name, order):
    """A recorder that was stopped at once, or had nothing to record, writes a header alone."""
    data, media_type = sound(name), FORMATS[name][0]
    empty = silent_header(name)
    parts = {"last": [data, data, empty], "first": [empty, data, data], "middle": [data, empty, data]}
    joined = b"".join(parts.get(order, [data, empty, empty, data]))
    assert loud_s(joined, media_type) == pytest.approx(2 * SECONDS, abs=0.25)
    assert read(joined, media_type).missing == ()
    assert probe(joined, media_type).duration_s == pytest.approx(probe(data * 2, media_type).duration_s, abs=0.05)
    assert len(list(split(joined, 0.5))) == len(list(split(data * 2, 0.5)))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_empty_parts_alone_is_refused(name):
    with pytest.raises(Rejected, match=r"without samples|cannot be decoded|without an audio stream|zero bytes"):
        probe(silent_header(name) * 3, FORMATS[name][0])


def test_a_chained_recording_may_change_its_codec_and_channels():
    data = sound("opus") + sound("vorbis") + encoded("ogg", "libopus", tones(48_000, 2, SECONDS), 48_000)
    content = read(data, "audio/ogg")
    assert content.samples.shape == (2, pytest.approx(3 * 16_000, abs=800))
    assert content.missing == ()
    starts = [start_s for _, start_s, _ in split(data, 0.5)]
    assert starts == sorted(starts)
    assert 2.4 < starts[-1] < 3.1


def test_of_a_chained_recording_that_was_cut_off_the_rest_is_named_missing():
    data = encoded("ogg", "libopus", tones(48_000, 1, 4.0), 48_000)
    content = read(data + data[: len(data) * 3 // 4], "audio/ogg")
    [(start_s, end_s)] = content.missing
    assert 5.5 < start_s < end_s <= 8.01


@pytest.mark.parametrize("order", ["last", "middle"])
def test_a_part_whose_samples_were_all_cut_off_is_named_missing(order):
    """Its header states a length, so that it is not empty."""
    data = sound("wav")
    header = data[: len(silent_header("wav"))]
    parts = {"last": [data, data, header], "middle": [data, header, data]}[order]
    content = read(b"".join(parts), "audio/wav")
    assert content.samples.shape[1] == pytest.approx(3 * SECONDS * 16_000, abs=20)
    [(start_s, end_s)] = content.missing
    assert (start_s, end_s) == pytest.approx((2.0, 3.0) if order == "last" else (1.0, 2.0), abs=0.01)


@pytest.mark.parametrize("name", ["wav", "opus", "webm", "aiff", "caf", "au"])
def test_damage_of_one_part_is_weighed_against_all_of_the_file(name):
    """Most of a short part is missing, and that is little of the whole."""
    data, media_type = sound(name), FORMATS[name][0]
    content = read(data * 3 + data[: len(data) * 2 // 5], media_type)
    assert content.samples.shape[1] == pytest.approx(4 * SECONDS * 16_000, abs=1_600)
    [(start_s, end_s)] = content.missing
    assert 2.9 < start_s < 3.6
    assert end_s == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("name", ["wav", "flac", "opus", "webm", "aiff", "caf", "au", "amr"])
def test_a_part_that_was_cut_off_does_not_swallow_the_next_one(name):
    """Its header states more than it has: the next file, header and all, would count as the rest of its samples."""
    data, media_type = sound(name), FORMATS[name][0]
    joined = data[: len(data) * 9 // 10 | 1] + data * 2
    content = read(joined, media_type)
    assert content.samples.shape[1] == pytest.approx((2.9 if name == "amr" else 3.0) * 16_000, abs=1_600)
    tail = np.abs(content.samples[0, -2 * 16_000 :])
    assert sum(float(tail[k : k + 800].max()) > 0.1 for k in range(0, tail.size, 800)) >= 39
    assert float(np.quantile(tail, 0.99)) < 0.6  # samples out of step would be noise
    if name != "amr":  # its header states no length
        [(start_s, end_s)] = content.missing
        assert start_s < 0.95
        assert end_s == pytest.approx(1.0, abs=0.1)
    assert probe(joined, media_type).duration_s == pytest.approx(content.samples.shape[1] / 16_000, abs=0.01)
    starts = [start_s for _, start_s, _ in split(joined, 0.5)]
    assert starts[-1] == pytest.approx(2.45, abs=0.1)


@pytest.mark.parametrize(("stated_s", "missing_s"), [(1.0, 1.0), (36_000.0, 0.0)])
def test_a_part_without_audio_is_a_hole_only_if_its_length_is_that_of_one(stated_s, missing_s):
    """A damaged time stamp of a page that was cut off may state hours."""
    data = sound("opus")
    first_page = data[: data.index(b"OggS", 4)]
    granule = int(stated_s * 48_000) + int.from_bytes(first_page[38:40], "little")
    part = first_page + struct.pack("<4sBBq", b"OggS", 0, 0, granule)
    content = read(data + part + data, "audio/ogg")
    assert content.samples.shape[1] == pytest.approx((2 * SECONDS + missing_s) * 16_000, abs=1_600)
    assert sum(end_s - start_s for start_s, end_s in content.missing) == pytest.approx(missing_s, abs=0.05)


def test_too_many_joined_files_are_refused():
    with pytest.raises(Rejected, match=f"more than {MAX_JOINED_FILES} audio files joined"):
        probe(encoded("wav", "pcm_s16le", tones(8_000, 1, 0.01), 8_000) * (MAX_JOINED_FILES + 1), "audio/wav")


def test_a_file_of_which_a_later_part_cannot_be_decoded_is_refused():
    data = sound("wav")
    unknown = data[:20] + b"\x77\x77" + data[22:]
    with pytest.raises(Rejected, match=r"cannot be decoded|no decoder"):
        probe(data + unknown, "audio/wav")


@pytest.mark.parametrize("size", [5, 12, 30, 43])
def test_a_part_of_less_than_a_header_takes_nothing_from_the_others(size):
    """A recorder that was ended while it began a file."""
    data = sound("wav")
    assert probe(data + data[:size], "audio/wav").duration_s == pytest.approx(SECONDS, abs=0.01)


@pytest.mark.parametrize("name", ["mp3", "aac"])
def test_a_slice_of_a_stream_begins_at_its_first_whole_frame(name):
    data, media_type = sound(name), FORMATS[name][0]
    start = len(data) // 3 + 7
    assert probe(data[start:], media_type).duration_s == pytest.approx(2 / 3 * SECONDS, abs=0.15)
    assert probe(bytes(500) + data, media_type).duration_s == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("media_type", ["audio/mpeg", "audio/aac"])
def test_bytes_without_frames_are_no_slice_of_a_stream(media_type):
    noise = np.random.default_rng(3).integers(0, 256, 60_000, dtype=np.uint8).tobytes()
    for data in (b"\x00" + noise, b"\x00" + b"\xff" * 5_000, bytes(5_000)):
        with pytest.raises(UnsupportedMedia, match="no accepted type"):
            probe(data, media_type)


@pytest.mark.parametrize("name", ["flac", "aac", "mp3"])
def test_a_title_in_front_hides_no_format(name):
    data, media_type = sound(name), FORMATS[name][0]
    title = b"ID3\x04\0\0" + bytes((0, 0, 2, 0)) + bytes(256)
    assert probe(title + data, media_type).duration_s == pytest.approx(probe(data, media_type).duration_s, abs=0.1)
    old_title = b"TAG" + b"x" * 125 if name == "mp3" else b""
    joined = read((title + data + old_title) * 3, media_type)
    assert joined.samples.shape[1] == pytest.approx(3 * SECONDS * 16_000, abs=4_000)
    assert joined.missing == ()


@pytest.mark.parametrize(
    ("data", "media_type", "codec", "rate"),
    [
        (sound("amr"), "audio/amr", "amrnb", 8_000),
        (WIDEBAND, "audio/amr", "amrwb", 16_000),
        (WIDEBAND, "audio/amr-wb", "amrwb", 16_000),
        (encoded("3gp", "libopencore_amrnb", tones(8_000, 1, SECONDS), 8_000), "audio/mp4", "amrnb", 8_000),
    ],
)
def test_a_voice_memo_of_a_telephone_is_decoded(data, media_type, codec, rate):
    info = probe(data, media_type)
    assert (info.codec, info.sample_rate, info.channels) == (codec, rate, 1)
    assert read(data, media_type).missing == ()
    assert loud_s(data, media_type) > 0.8


def test_of_a_damaged_voice_memo_the_lost_frames_are_silence_and_all_else_stays_in_time():
    data = bytearray(sound("amr") * 2)
    data[400:500] = bytes(100)
    assert read(bytes(data), "audio/amr").samples.shape[1] == pytest.approx(2 * SECONDS * 16_000, abs=3_200)


def test_a_sun_audio_file_may_be_declared_by_the_type_of_its_samples():
    data = sound("au")
    assert probe(data, "audio/au").duration_s == probe(data, "audio/basic").duration_s == SECONDS


@pytest.mark.parametrize("rate", [11_025, 12_000, 22_050, 96_000, 192_000])
@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f64le", "pcm_alaw", "adpcm_ima_wav"])
def test_a_wav_of_an_odd_rate_and_format_is_decoded(rate, codec):
    info = probe(encoded("wav", codec, tones(rate, 1, 0.5), rate), "audio/wav")
    assert (info.sample_rate, info.codec) == (rate, codec)
    assert info.duration_s == pytest.approx(0.5, abs=0.1)


def test_a_recorder_that_leaves_out_the_pad_byte_loses_nothing():
    """A length that is odd, in bytes: 8-bit samples."""
    body = np.uint8(128 + 100 * tones(8_000, 1, 1.0)[0, :7_999]).tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(body), b"WAVE", b"fmt ", 16, 1, 1, 8_000, 8_000, 1, 8)
    data = head + struct.pack("<4sI", b"data", len(body)) + body
    for padded in (data, data + b"\0"):
        assert read(padded * 3, "audio/wav").samples.shape[1] == pytest.approx(3 * 16_000, abs=100)


def test_a_chunk_of_nothing_but_beginnings_is_refused_at_once():
    """Looked for one after the other, 8 MB of them took hours."""
    with pytest.raises(Rejected, match=f"more than {MAX_JOINED_FILES} audio files"):
        read(b"#!AMR\n" * 1_000_000, "audio/amr")


def test_the_refusal_of_a_joined_file_that_is_too_long_names_the_limit_itself(monkeypatch):
    monkeypatch.setattr("mmplatform.derive.media.audio.MAX_SECONDS", 2.0)
    with pytest.raises(TooLarge, match=r"over 2 s"):
        decode(sound("wav") * 3, "audio/wav")
