import random

import numpy as np
import pytest

from mmplatform.derive.layout.captioner import LayoutCaptioner
from mmplatform.derive.layout.reading_order import group_blocks, reading_order
from mmplatform.derive.layout.surfaces import find_buttons, find_overlay, find_surfaces, font_size
from mmplatform.locators import Box
from mmplatform.ports import RecognisedLine
from tests.derive.screens import Canvas, error_dialog, shop_page


@pytest.fixture
def captioner():
    return LayoutCaptioner()


def caption(captioner, screen):
    return captioner.caption(screen.pixels, screen.lines)


def boxes(*corners):
    return [Box(x0=x, y0=y, x1=x + width, y1=y + 20) for x, y, width in corners]


def test_an_error_dialog_is_described_with_its_title_message_buttons_and_page(captioner):
    assert caption(captioner, error_dialog()) == (
        "Error dialog titled 'Payment failed', says 'Your bank did not answer in time. No money was taken. "
        "Error code: PMT-402; Attempt: 2 of 3'; buttons 'Cancel', 'Try again'; over a page headed 'Northwind Garden'."
    )


def test_the_caption_does_not_depend_on_the_confidence_of_ocr(captioner):
    screen = error_dialog()
    again = [RecognisedLine(line.text, line.box, 0.8) for line in screen.lines]
    assert captioner.caption(screen.pixels, again) == captioner.caption(screen.pixels, screen.lines)


def test_the_pixels_decide_what_is_a_dialog(captioner):
    screen = error_dialog()
    flat = np.full_like(screen.pixels, 255)
    assert "ialog" not in captioner.caption(flat, screen.lines)


def test_a_dialog_without_words_of_failure_is_no_error(captioner):
    page = shop_page()
    page.dim()
    page.lines = page.lines[:1]
    page.rectangle((320, 160, 840, 420), fill="white")
    page.text(350, 180, "Choose a delivery day", size=28)
    page.text(350, 240, "Tuesday is the first free day.")
    page.button(650, 350, "Continue")
    text = caption(captioner, page)
    assert text.startswith("Dialog titled 'Choose a delivery day'")
    assert "rror" not in text


def test_a_page_without_a_dialog_claims_none(captioner):
    text = caption(captioner, shop_page())
    assert text.startswith("Screen headed 'Northwind Garden', with text: 'Delivery address")
    assert "ialog" not in text
    assert "rror" not in text


def test_text_of_one_size_without_heading_is_a_screen_with_text(captioner):
    page = Canvas.blank(600, 300)
    for k, text in enumerate(("The quick brown fox", "jumps over the lazy dog", "and sleeps all day long")):
        page.text(40, 60 + 50 * k, text)
    assert caption(captioner, page).startswith("Screen with text: 'The quick brown fox")


def test_an_error_banner_on_a_page_is_a_notice_and_no_dialog(captioner):
    page = shop_page()
    page.rectangle((30, 70, 960, 110), fill="#fdecea", outline="#f0b0a8")
    page.text(60, 78, "Payment failed 3 times. Card payments are locked.", fill="#8b1a10")
    text = caption(captioner, page)
    assert "headed 'Northwind Garden' with the error notice 'Payment failed 3 times. Card payments are locked.'" in text
    assert "ialog" not in text


def test_a_card_with_an_error_heading_is_an_error_message(captioner):
    page = Canvas.blank(colour="#eef1f6")
    page.text(40, 20, "Meridian Savings", size=24)
    page.rectangle((300, 120, 800, 460), fill="white", outline="#d0d5dd")
    page.text(330, 150, "Your session has timed out", size=28)
    page.text(330, 220, "We did not receive your approval.")
    page.button(330, 380, "Start again")
    text = caption(captioner, page)
    assert text.startswith("Error message 'Your session has timed out', says 'We did not receive your approval.'")
    assert text.endswith("; button 'Start again'; on a page headed 'Meridian Savings'.")


def test_a_window_with_the_buttons_of_a_dialog_is_one(captioner):
    window = Canvas.blank(460, 180, colour="#f2f2f2")
    window.text(60, 20, "Save the changes before closing?", size=20)
    window.text(60, 60, "What is not saved is lost.", size=16)
    window.button(120, 120, "Cancel", fill="#e0e0e0", ink="black", width=130)
    window.button(280, 120, "Save", fill="#e0e0e0", ink="black", width=130)
    text = caption(captioner, window)
    assert text.startswith("Dialog titled 'Save the changes before closing?'")
    assert "buttons 'Cancel', 'Save'" in text


@pytest.mark.parametrize("lines", [[], [RecognisedLine("?", Box(x0=1, y0=1, x1=9, y1=9), 0.9)]])
def test_an_image_without_text_has_a_caption_that_reports_it(captioner, lines):
    assert captioner.caption(np.zeros((20, 20, 3), dtype=np.uint8), lines) == "Screen without readable text."


def test_lines_of_low_confidence_are_left_out(captioner):
    page = shop_page()
    page.lines.append(RecognisedLine("Payment failed", Box(x0=500, y0=500, x1=640, y1=525), 0.3))
    assert "failed" not in caption(captioner, page)


def test_a_long_text_is_cut_at_a_word(captioner):
    page = Canvas.blank(900, 1200)
    for k in range(40):
        page.text(30, 20 + 28 * k, f"Paragraph {k} goes on and on about very little")
    text = caption(captioner, page)
    assert len(text) < 600
    assert text.endswith(" …'.")


def test_boxes_outside_the_picture_and_of_no_size_raise_nothing(captioner):
    rng = random.Random(5)
    image = np.random.default_rng(5).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    for _ in range(200):
        x, y = rng.uniform(-50, 120), rng.uniform(-50, 90)
        box = Box(x0=x, y0=y, x1=x + rng.uniform(0, 60), y1=y + rng.uniform(0, 40))
        assert captioner.caption(image, [RecognisedLine("Cancel order", box, 0.9), RecognisedLine("failed", box, 0.9)])


def test_buttons_are_distinguished_from_fields_badges_and_text():
    page = Canvas.blank()
    page.button(50, 50, "Pay now")
    page.rectangle((50, 150, 500, 195), outline="#888888")
    page.text(60, 160, "Name on the card")  # a field: its text stands left
    page.text(50, 250, "Plain words")
    buttons = find_buttons(find_surfaces(page.pixels, page.lines), page.lines)
    assert [page.lines[i].text for i in buttons] == ["Pay now"]


def test_an_overlay_is_found_to_the_pixel_and_none_on_an_undimmed_page():
    screen = error_dialog()
    box = find_overlay(screen.pixels, find_surfaces(screen.pixels, screen.lines))
    assert box == Box(x0=320, y0=160, x1=841, y1=481)
    page = shop_page()
    assert find_overlay(page.pixels, find_surfaces(page.pixels, page.lines)) is None


def test_the_size_of_letters_is_measured_on_the_ink():
    page = Canvas.blank()
    page.text(40, 40, "Heading of the page", size=36)
    page.text(40, 140, "Body of the page", size=18)
    large, small = (font_size(page.pixels, line) for line in page.lines)
    assert 1.7 < large / small < 2.3


def test_columns_are_read_one_after_the_other():
    left = [(20, 20 + 31 * k, 150) for k in range(5)]
    right = [(400, 34 + 43 * k, 150) for k in range(4)]
    assert reading_order(boxes(*left, *right)) == list(range(9))
    shuffled = boxes(*right, *left)
    assert reading_order(shuffled) == [4, 5, 6, 7, 8, 0, 1, 2, 3]


def test_a_table_is_read_across():
    labels = [(20, 20 + 30 * k, 80) for k in range(3)]
    values = [(400, 21 + 30 * k, 90) for k in range(3)]
    assert reading_order(boxes(*labels, *values)) == [0, 3, 1, 4, 2, 5]


def test_two_columns_of_prose_are_no_table_though_their_lines_are_level():
    left = [(20, 20 + 30 * k, 300) for k in range(3)]
    right = [(400, 20 + 30 * k, 300) for k in range(3)]
    assert reading_order(boxes(*left, *right)) == [0, 1, 2, 3, 4, 5]


def test_a_footer_under_two_columns_is_read_last_though_it_is_as_far_below_as_they_are_apart():
    left = [(20, 20 + 30 * k, 300) for k in range(6)]
    right = [(400, 20 + 30 * k, 300) for k in range(6)]
    footer = (20, 20 + 30 * 6, 680)
    assert reading_order(boxes(footer, *left, *right)) == [*range(1, 13), 0]


@pytest.mark.parametrize("columns", [1, 2])
def test_a_long_page_of_evenly_spaced_lines_is_read_to_its_end(columns):
    lines = boxes(*((20 + 300 * (k % columns), 30 * (k // columns), 180) for k in range(3000)))
    assert reading_order(lines) == list(range(3000))
    assert reading_order(lines[::-1]) == list(range(3000))[::-1]


def test_the_order_contains_every_line_once():
    rng = random.Random(11)
    for _ in range(100):
        some = boxes(
            *((rng.randrange(900), rng.randrange(700), rng.randrange(1, 300)) for _ in range(rng.randrange(30)))
        )
        assert sorted(reading_order(some)) == list(range(len(some)))


def test_a_paragraph_is_one_block_and_a_distant_line_another():
    lines = [
        RecognisedLine(text, box, 0.9)
        for text, box in zip("abcd", boxes((20, 20, 200), (20, 44, 180), (20, 68, 190), (20, 300, 100)), strict=True)
    ]
    assert group_blocks(lines) == [[0, 1, 2], [3]]
    assert group_blocks([]) == []


def test_a_block_never_grows_without_end():
    lines = [RecognisedLine("x" * 90, box, 0.9) for box in boxes(*((20, 24 * k, 500) for k in range(40)))]
    groups = group_blocks(lines)
    assert len(groups) > 4
    assert [i for group in groups for i in group] == list(range(40))
