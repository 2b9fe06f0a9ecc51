"""Foreign text cannot control the terminal that shows it."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mmplatform.terminal.answers import print_hits
from mmplatform.terminal.printable import printable

HOSTILE = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;https://evil.example\x1b\\bank.example\x1b]8;;\x1b\\",
    "\x9b2J",
    "up\x1b[1A\rover",
    "abc\u202edcba",
    "\u2066x\u2069",
    "\ud800",
    "bell\x07",
    "line\u2028break",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hit_shows_controls_as_their_escapes(text):
    hit = {"text": text, "source": f"chat message {text}", "score": 0.5, "age_s": 1.0, "gap_s": 1.0, "found_in": "tail"}
    times = dict.fromkeys(("event_time", "retrievable_at"), "2026-08-01T10:00:00Z")
    shown = io.StringIO()
    coverage = {"index": "searched", "tail": "current"}
    print_hits({"hits": [hit | times], "took_ms": 1.0, "coverage": coverage}, Console(file=shown, width=400))
    lines = shown.getvalue()
    assert not [character for character in lines if character != "\n" and unicodedata.category(character) == "Cc"]
    assert not set("\u202e\u2066\u2069\u2028\ud800") & set(lines)


@given(st.text())
def test_ordinary_text_stays_and_every_result_can_be_encoded(text):
    shown = printable(text)
    shown.encode()
    assert printable(shown) == shown
    if text.isprintable():
        assert shown == text


def test_of_a_log_line_the_colours_stay_and_nothing_else_does():
    line = "\x1b[1;32mready\x1b[0m \x1b[2J \x1b]0;title\x07"
    assert printable(line, colours=True) == "\x1b[1;32mready\x1b[0m \\x1b[2J \\x1b]0;title\\x07"


def test_emoji_sequences_and_joiners_stay():
    text = "\U0001f469\u200d\U0001f4bb \u0645\u06cc\u200c\u062e"  # a technician; Persian with a non-joiner
    assert printable(text) == text
