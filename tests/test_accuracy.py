"""The scores of ``benchmarks.accuracy``: a figure is worth what its counting is worth."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import corpora
from benchmarks.accuracy.score import NONE, Errors, rank_of, recall_at, word_errors, word_recall
from benchmarks.accuracy.sounds import music, noise, silence
from benchmarks.accuracy.speech import in_one, telephone


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("the payment failed", "the payment failed", Errors(3, 0, 0, 0)),
        ("the payment failed", "the payments failed", Errors(3, 1, 0, 0)),
        ("the payment failed", "payment failed", Errors(3, 0, 1, 0)),
        ("the payment failed", "the payment has failed", Errors(3, 0, 0, 1)),
        ("the payment failed", "", Errors(3, 0, 3, 0)),
        ("", "thank you", Errors(0, 0, 0, 2)),
        ("", "", NONE),
    ],
)
def test_each_word_counts_once(said, heard, errors):
    assert word_errors(said, heard) == errors


def test_errors_add_up_by_words_and_not_by_recordings():
    both = word_errors("no", "now") + word_errors("one two three four", "one two three four")
    assert both == Errors(5, 1, 0, 0)
    assert both.rate == pytest.approx(20)
    assert NONE.rate == 0


def test_a_word_is_read_as_often_as_it_stands_there():
    assert word_recall("Print dialogs: use %PRODUCTNAME dialogs", "use PRODUCTNAME dialogs") == (3, 5)
    assert word_recall("OK", "ok OK cancel") == (1, 1)
    assert word_recall("Cancel", "") == (0, 1)


def test_a_thing_ranks_where_its_best_passage_does():
    ranked = ["b", "b", "a", "b", "a"]
    assert [rank_of(name, ranked) for name in "bac"] == [1, 2, None]


def test_recall_counts_what_is_among_the_first():
    ranks = [1, 3, None, 6]
    assert [recall_at(ranks, k) for k in (1, 5, 10)] == [0.25, 0.5, 0.75]
    assert recall_at([], 1) == 0


@pytest.mark.parametrize("make", [silence, noise, music])
def test_a_seed_gives_one_sound_of_the_length_that_was_asked_for(make):
    first, again, other = make(101.5, 1), make(101.5, 1), make(101.5, 2)
    assert first.shape == (round(101.5 * 16_000),)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.abs(first).max() <= 1
    loudness = float(np.sqrt(np.mean(first**2)))
    assert loudness < 1e-3 if make is silence else loudness > 0.02


def test_a_telephone_keeps_the_voice_and_takes_what_is_above_it():
    t = np.arange(16_000) / 16_000
    low, high = (0.3 * np.sin(2 * np.pi * f * t).astype(np.float32) for f in (500, 5000))
    assert np.corrcoef(telephone(low), low)[0, 1] > 0.99
    assert np.abs(telephone(high)).max() < 0.01


def test_recordings_in_one_call_keep_their_order_and_have_pauses():
    bursts = [np.full(1600, level, dtype=np.float32) for level in (0.2, 0.4)]
    joined = in_one(bursts, 1)
    found = np.flatnonzero(joined > 0.3)
    assert np.abs(joined[:1600] - 0.2).max() < 0.01
    assert found[0] >= 1600 + 8000
    assert found.size == 1600


def test_a_caption_is_read_without_its_number_and_its_marks():
    page = """<div class="figure"><p class="title"><strong>Figure 15.1. The <span class="quote">“Layers”</span>
    dialog</strong></p><img src="images/layer-dialog.png" alt="x" /></div><br class="figure-break" />"""
    [(told, figure)] = corpora._FIGURE.findall(page)
    assert corpora._plain(told) == "The Layers dialog"
    assert corpora._SCREEN.search(told)
    assert "images/layer-dialog.png" in figure
