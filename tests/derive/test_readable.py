"""What the embedder reads of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmplatform.derive.readable import readable


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("my payment failed", "my payment failed"),
        ("caf\u00e9 \u20ac5 \u00a9 \u2122", "caf\u00e9 \u20ac5 \u00a9 \u2122"),
        ("great \U0001f44d\U0001f3fd!", "great thumbs up sign !"),
        ("\U0001f1e9\U0001f1ea", "flag de"),
        ("\u2764\ufe0f", "heavy black heart"),
        ("\U0001f469\u200d\U0001f4bb", "woman personal computer"),
        ("pay\u00adment", "payment"),
        ("\u5ba2\u6237", "\u5ba2\u6237"),
        ("\ud83d half", "half"),
        *(
            (blank, "")
            for blank in ("\u200b", "\ufeff", "\u2800", "\u3164", "\u00ad", "\u115f", "\u2060", "\x00", "\u180e")
        ),
    ],
)
def test_emoji_have_names_and_invisible_characters_are_left_out(text, read):
    assert readable(text) == read


@given(st.text())
def test_reading_twice_changes_nothing_and_can_be_encoded(text):
    once = readable(text)
    once.encode()
    assert readable(once) == once


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=40))
def test_no_letter_digit_or_mark_of_punctuation_is_lost(text):
    lost = set(text) - set(readable(text))
    assert lost <= set("\u3164\u115f\u1160\uffa0")
