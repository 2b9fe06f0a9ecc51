"""Images of real devices: damaged in the middle, cut with a thumbnail, transparent. Both ends of the log agree."""

from __future__ import annotations

import io
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mmplatform.derive.media.image import BoundedProbe, decode, probe
from mmplatform.errors import Rejected

LIMIT = 10_000_000
MEDIA = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
NOISE = np.random.default_rng(2)


def encoded(image: Image.Image, form: str = "JPEG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def page(mode: str = "RGB", ground="white", ink="black") -> Image.Image:
    image = Image.new(mode, (800, 600), ground)
    for k in range(20):
        line = f"Payment {k} was declined, please try again"
        ImageDraw.Draw(image).text((20, 20 + 28 * k), line, fill=ink, font=ImageFont.load_default(22))
    return image


def both_refuse(data: bytes, media_type: str) -> None:
    for reads in (lambda: probe(data, media_type, LIMIT), lambda: decode(data, LIMIT)):
        with pytest.raises(Rejected, match="truncated or damaged"):
            reads()


KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "with restarts": {"restart_marker_blocks": 8},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_damaged_in_the_middle_is_refused_by_both(kind):
    data = encoded(page(), **KINDS[kind])
    middle = len(data) // 2
    both_refuse(data[:middle] + bytes(250) + data[middle + 250 :], "image/jpeg")
    both_refuse(data[:middle] + data[middle + 250 :], "image/jpeg")
    both_refuse(data[:middle] + b"\xff\xd9", "image/jpeg")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_the_end_marker_of_a_thumbnail_ends_no_picture(kind, kept):
    thumbnail = encoded(page().resize((160, 120)))
    tag = b"Exif\0\0MM\0*\0\0\0\x08" + b"\0\0\0\0\0\0" + thumbnail
    data = encoded(page(), exif=tag, **KINDS[kind])
    assert data.find(b"\xff\xd9") < len(data) // 2
    assert probe(data, "image/jpeg", LIMIT).width == 800
    both_refuse(data[: int(kept * len(data))], "image/jpeg")


def test_a_jpeg_with_a_cameras_padding_and_a_video_behind_it_is_sound():
    data = encoded(page())
    padded = data[:-2] + bytes(30) + b"\xff\xd9"
    for sound in (padded, data + bytes(1000), data + b"\0\0\0\x18ftypmp42" + NOISE.bytes(5000)):
        assert probe(sound, "image/jpeg", LIMIT).height == 600
        assert np.array_equal(decode(sound, LIMIT), decode(data, LIMIT))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_mode_of_a_jpeg_is_sound(mode):
    assert probe(encoded(page().convert(mode)), "image/jpeg", LIMIT).width == 800


def test_a_png_whose_checksums_are_right_and_whose_pixels_are_not_is_refused():
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    half = zlib.compress(NOISE.bytes(48 * (1 + 64 * 3)))[:4000]
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", half) + chunk(b"IEND", b"")
    both_refuse(data, "image/png")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_rotation_turns_as_a_viewer_does(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(NOISE.integers(0, 255, (20, 40, 3), dtype=np.uint8))
    data = encoded(image, "PNG", exif=exif.tobytes())
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(decode(data, LIMIT), np.asarray(wanted))


CLEAR = (0, 0, 0, 0)


def contrast(image: Image.Image, form: str = "PNG", **options) -> float:
    """Range of the brightness in the decoded image."""
    luma = decode(encoded(image, form, **options), LIMIT).mean(axis=2)
    return float(luma.max() - luma.min())


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("ink", ["white", "#eeeeee", "#ffff80", "black", "#202020", "#c00000", "#808080"])
def test_drawings_on_nothing_are_visible(ink, form):
    assert contrast(page("RGBA", CLEAR, ink), form) > 100


@pytest.mark.parametrize("colours", [4, 16, 256])
@pytest.mark.parametrize("ink", ["white", "black"])
def test_a_palette_with_transparency_is_visible(ink, colours):
    image = page("RGBA", CLEAR, ink).quantize(colours)
    data = encoded(image, "PNG")
    assert b"tRNS" in data
    assert contrast(image) > 100


def test_a_grey_image_with_transparency_is_visible():
    grey = page("LA", (0, 0), (255, 255))
    assert contrast(grey) > 200
    keyed = page("L", 0, 255)
    assert contrast(keyed, transparency=0) > 200


def test_white_and_black_on_nothing_are_both_visible():
    image = page("RGBA", CLEAR, "white")
    ImageDraw.Draw(image).text((420, 20), "and black\n" * 20, fill="black", font=ImageFont.load_default(22))
    pixels = decode(encoded(image, "PNG"), LIMIT).mean(axis=2)
    assert 100 < pixels[590, 790] < 160
    assert pixels.max() > 250
    assert pixels.min() < 5


def test_the_ground_of_a_page_with_a_transparent_corner_stays_white():
    image = page().convert("RGBA")
    image.paste(CLEAR, (0, 0, 10, 10))
    assert decode(encoded(image, "PNG"), LIMIT)[5, 5].tolist() == [255, 255, 255]
    dark = page("RGBA", CLEAR, "black")
    assert decode(encoded(dark, "PNG"), LIMIT)[590, 790].tolist() == [255, 255, 255]


def test_the_gateways_probe_decodes_one_large_image_at_a_time(monkeypatch):
    running, most, lock, full = [], [], threading.Lock(), threading.Event()

    def slow(data, declared, limit):
        with lock:
            running.append(1)
            most.append(len(running))
        full.wait(0.05)
        with lock:
            running.pop()
        return probe(data, declared, limit)

    monkeypatch.setattr("mmplatform.derive.media.image.probe", slow)
    data = encoded(Image.new("RGB", (100, 100)), "PNG")
    for limit, at_most in ((10_000, 1), (5_000, 1), (40_000, 4)):
        most.clear()
        bounded = BoundedProbe(limit)
        threads = [threading.Thread(target=bounded, args=(data, "image/png", LIMIT)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(most) == 6
        assert max(most) <= at_most


def test_the_gateways_probe_has_room_again_after_a_refusal():
    bounded = BoundedProbe(1)
    for _ in range(3):
        with pytest.raises(Rejected):
            bounded(encoded(page())[:5000], "image/jpeg", LIMIT)
    assert bounded(encoded(page()), "image/jpeg", LIMIT).width == 800
