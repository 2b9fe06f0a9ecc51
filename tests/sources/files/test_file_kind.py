"""Files with the wrong name: the content decides, and what cannot be taken is named with the remedy."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest
from PIL import Image

from mmplatform.sources.files.discovery import plan_upload
from tests.derive.media.audio_files import encoded, tones
from tests.ingest.gateways import picture, wav


def audio(container, codec):
    return encoded(container, codec, tones(48_000, 1, 0.3), 48_000)


def workbook():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return out.getvalue()


def image(kind):
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "kind", "media_type"),
    [
        ("call.wav", audio("mp3", "libmp3lame"), "call", "audio/mpeg"),
        ("call.mp3", wav(), "call", "audio/wav"),
        ("call", audio("flac", "flac"), "call", "audio/flac"),
        ("voice.dat", audio("ogg", "libopus"), "call", "audio/ogg"),
        ("memo.wav", audio("mp4", "aac"), "call", "audio/mp4"),
        ("shot.jpg", picture("PNG"), "screenshot", "image/png"),
        ("shot.png", picture("JPEG"), "screenshot", "image/jpeg"),
        ("shot.jpeg", picture("WEBP"), "screenshot", "image/webp"),
        ("shot.txt", picture("PNG"), "screenshot", "image/png"),
        ("shot.wav", picture("PNG"), "screenshot", "image/png"),
        ("shot.png", image("GIF"), "screenshot", "image/gif"),
        ("shot.png", image("BMP"), "screenshot", "image/bmp"),
        ("shot.png", image("TIFF"), "screenshot", "image/tiff"),
        ("shot.heic", image("AVIF"), "screenshot", "image/avif"),
        ("call.mp3", audio("adts", "aac"), "call", "audio/aac"),
        ("call.wav", audio("webm", "libopus"), "call", "audio/webm"),
        ("call.wav", audio("aiff", "pcm_s16be"), "call", "audio/aiff"),
        ("call.wav", audio("caf", "pcm_s16be"), "call", "audio/x-caf"),
    ],
)
def test_a_misnamed_file_is_what_its_content_is(tmp_path, name, data, kind, media_type):
    (tmp_path / name).write_bytes(data)
    [file] = plan_upload([tmp_path]).files
    assert (file.kind, file.media_type) == (kind, media_type)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("scan.png", b"%PDF-1.7 ...", "PDF"),
        ("chat.csv", workbook(), "CSV"),
        ("chat.jsonl", gzip.compress(b"{}", mtime=0), "gzip"),
        ("old.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "Office"),
    ],
)
def test_a_foreign_file_is_refused_with_its_format_when_named_and_skipped_in_a_folder(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    [rejection] = plan_upload([tmp_path / name]).rejected
    assert words in rejection.reason
    planned = plan_upload([tmp_path])
    assert ([path.name for path in planned.skipped], planned.rejected) == ([name], ())


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("IMG_0001.HEIC", b"\x00\x00\x00\x18ftypheic" + bytes(40), ("HEIC", "PNG or JPEG")),
        ("shot.jpg", b"\x00\x00\x00\x18ftypmif1" + bytes(40), ("HEIF", "PNG or JPEG")),
        ("memo.wav", b"riff\x2e\x91\xcf\x11" + bytes(40), ("Wave64", "WAV")),
        ("memo.wma", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(40), ("Windows Media", "MP3")),
        ("shot.png", image("JPEG2000"), ("JPEG 2000", "PNG")),
    ],
)
def test_a_call_or_picture_in_a_format_without_a_decoder_is_refused_in_a_folder_too(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    for paths in ([tmp_path], [tmp_path / name]):
        [rejection] = plan_upload(paths).rejected
        assert all(word in rejection.reason for word in words)
