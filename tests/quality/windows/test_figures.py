"""The figures of a window, each by rows that a reader can count."""

from __future__ import annotations

import json

import polars as pl
import pytest

from quality.windows.figures import WINDOW_COLUMNS, WindowFigures, window_figures


def transcripts(*rows):
    """Rows of (text, language, confidence); an empty text is a gap."""
    return pl.DataFrame(
        [
            {
                "conversation_id": "c",
                "channel": 0,
                "text": text,
                "speaker": "agent",
                "confidence": confidence,
                "status": "final" if text else "gap",
                "language": language,
            }
            for text, language, confidence in rows
        ]
    )


def test_no_rows_have_no_figures():
    assert window_figures("transcripts", transcripts(("a", "en", 0.5)).clear()) == WindowFigures()


def test_the_figures_of_speech_leave_gaps_out_of_all_but_volume_and_null_rate():
    found = window_figures(
        "transcripts",
        transcripts(("hello", "en", 0.9), ("hello", "de", 0.5), ("call [PHONE]", "", 0.7), ("", "", 0.0)),
    )
    assert found.volume == 4
    assert found.null_rate == 0.25
    assert found.duplicate_rate == pytest.approx(1 / 3)
    assert found.redacted_share == pytest.approx(1 / 3)
    assert found.confidence == 0.7
    assert found.languages == pytest.approx({"en": 1 / 3, "de": 1 / 3, "unknown": 1 / 3})


def test_an_hour_of_gaps_has_no_confidence():
    found = window_figures("transcripts", transcripts(("", "", 0.0), ("", "", 0.0)))
    assert (found.null_rate, found.confidence, found.redacted_share, found.duplicate_rate) == (1.0, None, None, None)


@pytest.mark.parametrize(
    ("text", "share"),
    [("[CARD]", 1.0), ("to [PERSON 7f3a].", 1.0), ("[CARD …1111]", 1.0), ("[a note]", 0.0), ("[X", 0.0)],
)
def test_every_form_of_a_redacted_value_counts(text, share):
    frame = pl.DataFrame({"conversation_id": ["c"], "text": [text], "role": ["agent"]})
    assert window_figures("messages", frame).redacted_share == share


def test_a_table_without_a_language_has_no_mix_and_one_with_it_has():
    frame = pl.DataFrame({"conversation_id": ["c"], "text": ["hi"], "role": ["agent"]})
    assert window_figures("messages", frame).languages == {}
    assert window_figures("messages", frame.with_columns(language=pl.lit("fr"))).languages == {"fr": 1.0}


def test_the_confidence_of_captions_is_that_of_their_lines():
    records = [{"lines": [{"text": 'a "confidence":0.1', "confidence": 0.9}, {"confidence": 0.7}]}, {"lines": []}]
    frame = pl.DataFrame(
        {
            "subject_id": ["s", "s"],
            "content_id": ["1", "1"],
            "text": ["window", ""],
            "record": [json.dumps(record) for record in records],
        }
    )
    found = window_figures("captions", frame)
    assert found.confidence == pytest.approx(0.8)
    assert found.null_rate == 0.5
    assert found.duplicate_rate == 0.5
    assert window_figures("captions", frame.drop("record")).confidence is None


@pytest.mark.parametrize("table", WINDOW_COLUMNS)
def test_only_the_needed_columns_are_read(table):
    assert len(WINDOW_COLUMNS[table].names()) <= 7
    assert "" not in WINDOW_COLUMNS[table].names()
