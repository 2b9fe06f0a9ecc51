"""Audio and images as browsers, telephones and telephone systems produce them, through the gateway."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from mmplatform.derive.media import audio, image
from tests.derive.media.audio_files import encoded, tones
from tests.ingest.gateways import CHUNK_FIELDS, SCREENSHOT_FIELDS, memory_gateway, wav


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(tmp_path) as gateway:
        yield gateway


async def chunk(gateway, data, media_type, query=None):
    headers = {"Content-Type": media_type}
    return await gateway.http.post("/v1/calls/c/chunks", content=data, params=query or CHUNK_FIELDS, headers=headers)


def speech(container, codec, rate=48_000, seconds=1.0, channels=1):
    return encoded(container, codec, tones(rate, channels, seconds), rate)


@pytest.mark.parametrize(
    ("media_type", "container", "codec", "stored"),
    [
        ("audio/webm;codecs=opus", "webm", "libopus", "audio/webm"),
        ('audio/webm; codecs="opus"', "webm", "libopus", "audio/webm"),
        ("video/webm", "webm", "libopus", "audio/webm"),
        ("audio/ogg; codecs=opus", "ogg", "libopus", "audio/ogg"),
        ("audio/mp4", "mp4", "aac", "audio/mp4"),
        ("audio/mp4;codecs=mp4a.40.2", "mp4", "aac", "audio/mp4"),
        ("audio/x-m4a", "ipod", "aac", "audio/mp4"),
        ("audio/aac", "adts", "aac", "audio/aac"),
        ("audio/aiff", "aiff", "pcm_s16be", "audio/aiff"),
        ("audio/x-caf", "caf", "pcm_s16be", "audio/x-caf"),
    ],
)
async def test_a_recording_of_a_browser_or_telephone_is_accepted(gateway, media_type, container, codec, stored):
    answer = await chunk(gateway, speech(container, codec), media_type)
    assert answer.status_code == 202, answer.text
    [event] = gateway.events("call")
    assert (event.blob.media_type, event.sample_rate, event.channels) == (stored, 48_000, 1)
    assert event.duration_s == pytest.approx(1.0, abs=0.1)
    assert audio.decode(gateway.deps.blobs.get(event.blob), event.blob.media_type).shape[0] == 1


@pytest.mark.parametrize("name", ["a.webm", "a.m4a", "a.mp4", "a.aac", "a.aiff", "a.caf"])
async def test_a_form_goes_by_the_name_of_the_file(gateway, name):
    codec = {"webm": "libopus", "m4a": "aac", "mp4": "aac", "aac": "aac"}.get(name[2:], "pcm_s16be")
    container = {"m4a": "ipod", "aac": "adts"}.get(name[2:], name[2:])
    file = (name, speech(container, codec), "application/octet-stream")
    answer = await gateway.http.post("/v1/calls/c/chunks", files={"file": file}, data=CHUNK_FIELDS)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("media_type", ["audio/webm;codecs=opus", "video/webm"])
@pytest.mark.parametrize("start", [b"\x1f\x43\xb6\x75\x01", b"\xa3\x40\x81"])
async def test_a_later_slice_of_a_recording_is_refused_with_what_to_do(gateway, media_type, start):
    answer = await chunk(gateway, start + bytes(300), media_type)
    assert answer.status_code == 415
    detail = answer.json()["detail"]
    assert "only the first slice of a recording has a header" in detail
    assert "/stream" in detail


def telephony(samples, media_type):
    """Samples of shape (samples, channels) as a telephone system sends them."""
    if media_type.lower().startswith("audio/l16"):
        return samples.astype(">i2").tobytes()
    codec = "pcm_alaw" if "PCMA" in media_type else "pcm_mulaw"
    wave = encoded("wav", codec, np.ascontiguousarray(samples.T, dtype=np.float32) / 32_768, 8_000)
    return wave[wave.index(b"data") + 8 :]


@pytest.mark.parametrize(
    ("media_type", "rate", "channels"),
    [
        ("audio/basic", 8_000, 1),
        ("audio/PCMU", 8_000, 1),
        ("audio/PCMA", 8_000, 1),
        ("audio/PCMU;rate=8000", 8_000, 1),
        ("audio/PCMA; rate=8000; channels=2", 8_000, 2),
        ("audio/L16;rate=8000;channels=2", 8_000, 2),
        ("audio/L16; rate=16000", 16_000, 1),
        ('audio/l16; rate="44100"; channels=1', 44_100, 1),
    ],
)
async def test_samples_without_a_header_are_read_by_the_parameters_of_their_type(gateway, media_type, rate, channels):
    phase = np.arange(4_000)[:, None] * 2 * np.pi * np.array([[440.0, 880.0][:channels]]) / rate
    samples = (np.sin(phase) * 12_000).astype(np.int16)
    answer = await chunk(gateway, telephony(samples, media_type), media_type)
    assert answer.status_code == 202, answer.text
    [event] = gateway.events("call")
    assert (event.sample_rate, event.channels) == (rate, channels)
    assert event.duration_s == pytest.approx(4_000 / rate, abs=1e-6)
    decoded = audio.decode(gateway.deps.blobs.get(event.blob), event.blob.media_type, rate=rate)
    assert np.abs(decoded - samples.T / 32_768).max() < 0.03


@pytest.mark.parametrize(
    ("media_type", "size", "words"),
    [
        ("audio/L16", 100, "rate=8000;channels=2"),
        ("audio/L16;rate=x", 100, "rate=8000;channels=2"),
        ("audio/L16;rate=8000;channels=2", 102, "whole number of 16-bit samples"),
        ("audio/PCMU;channels=2", 101, "whole number of 8-bit samples"),
        ("audio/PCMU;rate=1", 100, "4000 to 192000"),
        ("audio/PCMU;channels=9", 90, "needs its parameters"),
    ],
)
async def test_samples_that_the_type_does_not_describe_are_refused_with_an_example(gateway, media_type, size, words):
    answer = await chunk(gateway, bytes(size), media_type)
    assert answer.status_code in {415, 422}
    assert words in answer.json()["detail"]


def rifx(data):
    """A RIFF file of 44 bytes of header and 16-bit samples, in the other byte order."""
    fields = struct.pack(">HHIIHH", *struct.unpack_from("<HHIIHH", data, 20))
    samples = np.frombuffer(data[44:], "<i2").astype(">i2").tobytes()
    body = b"WAVEfmt " + struct.pack(">I", 16) + fields + b"data" + struct.pack(">I", len(samples)) + samples
    return b"RIFX" + struct.pack(">I", len(body)) + body


async def test_a_wav_in_the_other_byte_order_is_read(gateway):
    data = wav(channels=2)
    answer = await chunk(gateway, rifx(data), "audio/wav")
    assert answer.status_code == 202, answer.text
    [event] = gateway.events("call")
    assert (event.sample_rate, event.channels, event.duration_s) == (8_000, 2, 0.5)
    swapped, plain = (audio.decode(each, "audio/wav", rate=8_000) for each in (rifx(data), data))
    assert np.array_equal(swapped, plain)
    for cut in (12, 30, 43):
        answer = await chunk(gateway, rifx(data)[:cut], "audio/wav", CHUNK_FIELDS | {"event_id": f"cut-{cut}"})
        assert answer.status_code in {415, 422}


def gradient(kind, size=(40, 30), mode="RGB"):
    page = Image.linear_gradient("L").resize(size).convert(mode)
    out = io.BytesIO()
    page.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "media_type", "mode"),
    [
        ("AVIF", "image/avif", "RGB"),
        ("GIF", "image/gif", "P"),
        ("BMP", "image/bmp", "RGB"),
        ("TIFF", "image/tiff", "RGB"),
        ("TIFF", "image/tiff", "CMYK"),
        ("TIFF", "image/tiff", "1"),
        ("BMP", "image/x-ms-bmp", "L"),
    ],
)
async def test_an_image_of_a_browser_a_scanner_or_windows_is_accepted(gateway, kind, media_type, mode):
    data = gradient(kind, mode=mode)
    headers = {"Content-Type": media_type}
    answer = await gateway.http.post("/v1/events/screenshot", content=data, params=SCREENSHOT_FIELDS, headers=headers)
    assert answer.status_code == 202, answer.text
    [event] = gateway.events("screenshot")
    assert (event.width, event.height) == (40, 30)
    assert image.decode(gateway.deps.blobs.get(event.blob), 10**6).shape == (30, 40, 3)
    for cut in (20, len(data) // 2):
        headers = {"Content-Type": media_type}
        fields = SCREENSHOT_FIELDS | {"event_id": f"cut-{cut}"}
        answer = await gateway.http.post("/v1/events/screenshot", content=data[:cut], params=fields, headers=headers)
        assert answer.status_code in {415, 422}, cut


@pytest.mark.parametrize("declared", ["image/heic", "image/heif", "image/jpeg"])
async def test_a_picture_of_an_iphone_is_refused_with_what_to_do(gateway, declared):
    data = b"\x00\x00\x00\x24ftypheic\x00\x00\x00\x00mif1heic" + bytes(200)
    headers = {"Content-Type": declared}
    answer = await gateway.http.post("/v1/events/screenshot", content=data, params=SCREENSHOT_FIELDS, headers=headers)
    assert answer.status_code == 415
    assert "convert it to PNG or JPEG" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query", ["speakers=agent,customer", "speakers=agent&speakers=customer", "speakers=agent%2C+customer"]
)
async def test_speakers_may_be_one_value_with_commas_or_repeated(gateway, query):
    answer = await chunk(gateway, wav(channels=2), "audio/wav", f"index=0&start_s=0&subject_id=s&{query}")
    assert answer.status_code == 202, answer.text
    assert gateway.events("call")[0].speakers == ("agent", "customer")


@pytest.mark.parametrize("speakers", ["agent,customer", ["agent", "customer"]])
async def test_speakers_may_be_repeated_parts_of_a_form(gateway, speakers):
    file = ("a.wav", wav(channels=2), "audio/wav")
    data = CHUNK_FIELDS | {"speakers": speakers}
    answer = await gateway.http.post("/v1/calls/c/chunks", files={"file": file}, data=data)
    assert answer.status_code == 202, answer.text
    assert gateway.events("call")[0].speakers == ("agent", "customer")


async def test_another_field_that_is_repeated_is_refused_by_name_and_never_chosen(gateway):
    file = ("a.wav", wav(), "audio/wav")
    answer = await gateway.http.post(
        "/v1/calls/c/chunks", files={"file": file}, data=CHUNK_FIELDS | {"subject_id": ["s1", "s2"]}
    )
    assert (answer.status_code, "subject_id is given twice" in answer.json()["detail"]) == (422, True)
    answer = await chunk(gateway, wav(), "audio/wav", "index=0&start_s=0&subject_id=s&subject_id=t")
    assert (answer.status_code, "subject_id is given twice" in answer.json()["detail"]) == (422, True)
    assert gateway.events("call") == []
