import re

import numpy as np
import onnxruntime
import pytest

from mmplatform.derive.adapters.rapidocr import RapidReader
from mmplatform.derive.media.image import decode
from tests.derive.screens import Canvas, error_dialog

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def reader():
    reader = RapidReader(threads=1)
    reader.warm_up()
    return reader


def words(lines):
    return re.findall(r"\w+", " ".join(line.text for line in lines).lower())


def recall(truth, read):
    found = words(read)
    wanted = words(truth)
    return sum(word in found for word in wanted) / len(wanted)


def test_the_warm_up_runs_both_models_once_on_few_pixels(monkeypatch):
    pixels = []

    original = onnxruntime.InferenceSession.run

    def counting_run(session, output_names, input_feed, run_options=None):
        pixels.extend(value.shape[-1] * value.shape[-2] for value in input_feed.values())
        return original(session, output_names, input_feed, run_options)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", counting_run)
    RapidReader(threads=1).warm_up()
    assert len(pixels) == 2
    assert max(pixels) < 20_000


def test_it_reads_nearly_every_word_of_a_rendered_screen(reader):
    screen = error_dialog()
    read = reader.read(screen.pixels)
    assert recall(screen.lines, read) >= 0.95
    assert all(0 < line.confidence <= 1 for line in read)


def test_boxes_lie_where_the_words_were_drawn(reader):
    screen = Canvas.blank(600, 300)
    screen.text(60, 40, "Payment failed", size=28)
    screen.text(300, 200, "Contact support", size=22)
    read = {line.text: line.box for line in reader.read(screen.pixels)}
    for line in screen.lines:
        box = read[line.text]
        for side in ("x0", "y0", "x1", "y1"):
            assert abs(getattr(box, side) - getattr(line.box, side)) <= 12


def test_a_dialog_is_read_before_the_page_behind_it(reader):
    text = [line.text for line in reader.read(error_dialog().pixels)]
    assert text[0] == "Payment failed"
    assert text.index("Try again") < text.index("Northwind Garden")


def test_a_large_image_is_read_smaller_and_its_boxes_are_mapped_back(reader):
    screen = Canvas.blank(4800, 2400)
    screen.text(3000, 1500, "Something went wrong", size=90)
    (line,) = reader.read(screen.pixels)
    assert line.text == "Something went wrong"
    assert abs(line.box.x0 - 3000) < 40
    assert abs((line.box.y0 + line.box.y1) / 2 - 1550) < 40


def test_a_tall_image_is_read_in_bands_and_no_line_is_lost_or_doubled(reader):
    screen = Canvas.blank(500, 4000)
    for k in range(20):
        screen.text(40, 60 + 197 * k, f"Entry number {k}", size=24)
    read = reader.read(screen.pixels)
    assert [line.text for line in read] == [line.text for line in screen.lines]
    assert all(abs(a.box.y0 - b.box.y0) < 15 for a, b in zip(read, screen.lines, strict=True))


def test_the_smallest_images_give_no_lines_and_no_error(reader):
    for height, width in ((1, 1), (5, 400), (400, 5), (7, 7), (9, 900), (900, 9), (20, 60)):
        lines = reader.read(np.full((height, width, 3), 255, dtype=np.uint8))
        assert lines == []


def test_a_short_strip_with_one_word_is_read(reader):
    screen = Canvas.blank(130, 30)
    screen.text(8, 4, "Declined", size=20)
    (line,) = reader.read(screen.pixels)
    assert line.text == "Declined"
    assert 0 <= line.box.x0 < line.box.x1 <= 130
    assert 0 <= line.box.y0 < line.box.y1 <= 30


def test_noise_and_pictures_without_text_raise_nothing(reader):
    rng = np.random.default_rng(3)
    for shape in ((120, 200), (300, 90)):
        reader.read(rng.integers(0, 255, (*shape, 3), dtype=np.uint8))


def test_reading_writes_nothing_to_the_terminal(reader, capfd):
    reader.read(error_dialog().pixels[:200])
    reader.read(np.zeros((80, 80, 3), dtype=np.uint8))
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_the_example_checkout_is_read(reader, request):
    path = request.config.rootpath / "examples/payment-failed/screenshots/checkout-error.png"
    read = reader.read(decode(path.read_bytes(), 10_000_000))
    text = " ".join(line.text for line in read)
    for phrase in ("Payment failed", "PMT-402", "3-D Secure timeout", "Try again", "Use another card"):
        assert phrase in text


def fuzzy_equal(found: str, wanted: str) -> bool:
    return re.sub(r"\W", "", found.lower()) == re.sub(r"\W", "", wanted.lower())


SPARSE = {
    "a word": ((900, 500, "Declined", 24),),
    "a small line": ((300, 700, "Your session has expired, please sign in again", 14),),
    "two corners": ((20, 20, "File", 16), (1700, 1040, "Payment failed", 18)),
    "a heading and a small line": ((700, 200, "Checkout", 60), (300, 700, "Your card was declined", 14)),
}


@pytest.mark.parametrize(("ground", "ink"), [("white", "black"), ("#202020", "#c8c8c8")])
@pytest.mark.parametrize("what", SPARSE)
def test_few_words_on_a_large_screen_are_read(reader, what, ground, ink):
    screen = Canvas.blank(1920, 1080, ground)
    for x, y, text, size in SPARSE[what]:
        screen.text(x, y, text, size=size, fill=ink)
    read = reader.read(screen.pixels)
    assert len(read) == len(screen.lines)
    for line in screen.lines:
        [found] = [other for other in read if fuzzy_equal(other.text, line.text)]
        assert abs(found.box.x0 - line.box.x0) < 30
        assert abs(found.box.y0 - line.box.y0) < 30


def test_an_empty_screen_and_shapes_without_letters_have_no_lines(reader):
    screen = Canvas.blank(1280, 800)
    assert reader.read(screen.pixels) == []
    screen.rectangle((100, 100, 700, 140), outline="black")
    screen.rectangle((100, 300, 160, 330), fill="#1f6b49")
    assert words(reader.read(screen.pixels)) in ([], ["_"])  # the detector takes a patch for a dash


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_that_lies_on_its_side_or_head_is_read_and_its_boxes_are_those_of_the_photo(reader, turns):
    screen = Canvas.blank(700, 420)
    for k, text in enumerate(("Order 1041 was declined", "Please call your bank", "Reference PMT-402", "Try again")):
        screen.text(40, 40 + 90 * k, text, size=28)
    upright = reader.read(screen.pixels)
    turned = np.ascontiguousarray(np.rot90(screen.pixels, turns))
    read = reader.read(turned)
    assert [line.text for line in read] == [line.text for line in upright]
    for found, line in zip(read, screen.lines, strict=True):
        box = found.box
        crop = turned[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        assert crop.min() < 60, line.text
        wanted = line.box.x1 - line.box.x0
        assert abs(max(box.x1 - box.x0, box.y1 - box.y0) - wanted) < 25
