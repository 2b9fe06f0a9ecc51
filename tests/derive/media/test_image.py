import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmplatform.derive.media.image import decode, probe
from mmplatform.errors import Rejected, TooLarge, UnsupportedMedia

LIMIT = 1_000_000
MEDIA = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(width=64, height=48):
    rng = np.random.default_rng(7)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


@pytest.fixture(params=list(MEDIA))
def form(request):
    return request.param


def test_the_header_gives_size_and_type(form):
    info = probe(encoded(noise(), form), MEDIA[form], LIMIT)
    assert (info.width, info.height, info.media_type, info.format) == (64, 48, MEDIA[form], form)


def test_media_types_are_compared_without_case_alias_and_parameters():
    assert probe(encoded(noise(), "JPEG"), "Image/JPG; q=1", LIMIT).media_type == "image/jpeg"


def test_a_wrongly_declared_type_is_refused_with_both_names():
    with pytest.raises(UnsupportedMedia, match=r"declared as image/png, but the bytes are image/jpeg"):
        probe(encoded(noise(), "JPEG"), "image/png", LIMIT)


@pytest.mark.parametrize("declared", ["image/heic", "text/plain", ""])
def test_types_that_no_decoder_takes_are_refused(declared):
    with pytest.raises(UnsupportedMedia, match=r"image/png, image/jpeg, .* are accepted"):
        probe(encoded(noise(), "PNG"), declared, LIMIT)


def test_bytes_of_another_kind_are_refused_whatever_they_are_called():
    jpeg2000 = encoded(noise(), "JPEG2000")
    for data in (jpeg2000, b"<svg/>", b"%PDF-1.7"):
        with pytest.raises(UnsupportedMedia):
            probe(data, "image/png", LIMIT)
        with pytest.raises(UnsupportedMedia):
            decode(data, LIMIT)


def test_no_bytes_are_refused():
    with pytest.raises(Rejected, match="0 bytes"):
        probe(b"", "image/png", LIMIT)
    with pytest.raises(Rejected, match="0 bytes"):
        decode(b"", LIMIT)


@pytest.mark.parametrize("kept", [3, 12, 30, 200, 0.5, 0.98])
def test_a_truncated_file_is_refused_by_both(form, kept):
    whole = encoded(noise(), form)
    cut = whole[: kept if isinstance(kept, int) else int(len(whole) * kept)]
    with pytest.raises(Rejected, match=r"damaged|truncated|cut off"):
        probe(cut, MEDIA[form], LIMIT)
    with pytest.raises(Rejected, match=r"damaged|truncated|cut off"):
        decode(cut, LIMIT)


def test_bytes_behind_the_picture_do_no_harm():
    for form in ("PNG", "JPEG"):
        data = encoded(noise(), form) + b"\0" * 100_000
        assert probe(data, MEDIA[form], LIMIT).width == 64
        assert decode(data, LIMIT).shape == (48, 64, 3)


def test_more_pixels_than_the_limit_are_refused_before_they_are_decoded(form):
    data = encoded(noise(), form)
    for refuse in (lambda: probe(data, MEDIA[form], 64 * 48 - 1), lambda: decode(data, 64 * 48 - 1)):
        with pytest.raises(TooLarge, match="64x48 pixels; at most 3071"):
            refuse()
    assert probe(data, MEDIA[form], 64 * 48).height == 48


def test_a_decompression_bomb_is_refused_by_its_header():
    data = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    for refuse in (lambda: probe(bytes(data), "image/png", 50_000_000), lambda: decode(bytes(data), 50_000_000)):
        with pytest.raises(Rejected):
            refuse()
    bomb = encoded(Image.new("1", (15_000, 15_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        decode(bomb, 50_000_000)
    with pytest.raises(TooLarge):
        probe(bomb, "image/png", 50_000_000)


def test_one_pixel_is_an_image(form):
    data = encoded(Image.new("RGB", (1, 1), (10, 20, 30)), form)
    assert probe(data, MEDIA[form], LIMIT).width == 1
    assert decode(data, LIMIT).shape == (1, 1, 3)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    for form in ("PNG", "WEBP"):
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100, lossless=True)
        assert probe(data, MEDIA[form], LIMIT).width == 20
        assert decode(data, LIMIT)[5, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_becomes_rgb(mode):
    if mode == "I;16":
        image = Image.fromarray(np.full((5, 7), 0x8000, dtype=np.uint16))
    else:
        image = Image.new("RGB", (7, 5), "white").convert(mode)
    pixels = decode(encoded(image, "PNG"), LIMIT)
    assert pixels.shape == (5, 7, 3)
    assert pixels.dtype == np.uint8
    assert set(np.unique(pixels)) == ({0x80} if mode == "I;16" else {255})


def test_cmyk_becomes_rgb():
    pixels = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95), LIMIT)
    red, green, blue = pixels[4, 4].astype(int)
    assert red > 200
    assert green < 60
    assert blue < 60


def test_what_is_transparent_becomes_white():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (200, 0, 0, 255))
    pixels = decode(encoded(image, "PNG"), LIMIT)
    assert pixels[3, 3].tolist() == [255, 255, 255]
    assert pixels[0, 0].tolist() == [200, 0, 0]


def test_a_transparent_palette_entry_becomes_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert decode(encoded(image, "PNG", transparency=0), LIMIT)[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_rotation_is_applied_to_pixels_and_to_the_size(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("RGB", (40, 20), "white")
    image.paste("red", (0, 0, 20, 20))
    data = encoded(image, form, exif=exif.tobytes())
    info = probe(data, MEDIA[form], LIMIT)
    assert (info.height, info.width) == decode(data, LIMIT).shape[:2]
    assert (info.width, info.height) == ((20, 40) if orientation >= 5 else (40, 20))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says it to the log as well
def test_damaged_exif_does_not_cost_the_picture():
    data = encoded(noise(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert probe(data, "image/jpeg", LIMIT).width == 64
    assert decode(data, LIMIT).shape == (48, 64, 3)


SEEDS = [encoded(noise(20, 12), form) for form in MEDIA]


def only_rejections(data):
    outcomes = []
    for media_type in MEDIA.values():
        try:
            outcomes.append(probe(data, media_type, 10_000))
        except Rejected as error:
            outcomes.append(error)
    try:
        pixels = decode(data, 10_000)
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert pixels.dtype == np.uint8
    except Rejected:
        pass
    return outcomes


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_random_bytes_are_refused_and_nothing_else(data):
    assert all(isinstance(outcome, Rejected) for outcome in only_rejections(data))


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=12),
    st.integers(0, 2000),
)
@settings(max_examples=400, deadline=None)
def test_a_damaged_image_is_read_or_refused_and_nothing_else(seed, changes, cut):
    data = bytearray(seed)
    for at, value in changes:
        data[at % len(data)] = value
    only_rejections(bytes(data[: len(data) - cut % len(data)] if cut % 3 == 0 else data))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_once_as_its_orientation_says(form, orientation):
    upright = Image.new("RGB", (48, 32), "white")
    upright.paste("black", (0, 0, 16, 16))  # at the top on the left
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, form, exif=exif)
    pixels = decode(data, LIMIT)
    info = probe(data, f"image/{form.lower()}", LIMIT)
    assert (info.width, info.height) == (48, 32) == pixels.shape[1::-1]
    assert pixels[4:12, 4:12].mean() < 40
    assert pixels[20:, 20:].mean() > 215


@pytest.mark.parametrize(
    "samples",
    [
        np.array([[0, 255]], dtype=np.int32),
        np.array([[0, 65_535]], dtype=np.int32),
        np.array([[0, 2**31 - 1]], dtype=np.int32),
        np.array([[0.0, 1.0]], dtype=np.float32),
        np.array([[0.0, 255.0]], dtype=np.float32),
        np.array([[0, 65_535]], dtype=np.uint16),
    ],
)
def test_samples_of_any_depth_keep_their_scale(samples):
    data = encoded(Image.fromarray(samples), "TIFF")
    assert decode(data, LIMIT)[0, :, 0].tolist() == [0, 255]


NAMED = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "a Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "a GIMP file": b"gimp xcf v011\0" + bytes(40),
    "an icon": b"\x00\x00\x01\x00\x01\x00" + bytes(40),
    "a PDF": b"%PDF-1.7\n",
    "an AVI recording": b"RIFF\x00\x01\x00\x00AVI LIST" + bytes(40),
    "a recording (audio/mp4)": b"\x00\x00\x00\x20ftypisom" + bytes(40),
    "SVG": b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "SVG: export it": b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' ''>\n<svg/>",
}


@pytest.mark.parametrize("name", NAMED)
def test_a_file_of_another_kind_is_refused_by_name(name):
    with pytest.raises(UnsupportedMedia) as refusal:
        probe(NAMED[name], "image/png", LIMIT)
    assert name in str(refusal.value)


def test_an_accepted_format_without_a_decoder_is_not_said_to_be_of_another_kind():
    data = encoded(noise(), "TIFF")
    with pytest.raises(Rejected, match=r"image/tiff file .* is damaged, or of a variant that has no decoder"):
        probe(data[:8] + bytes(len(data) - 8), "image/tiff", LIMIT)
