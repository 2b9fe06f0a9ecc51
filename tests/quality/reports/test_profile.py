"""The figures that are shown with an hour's contract."""

from __future__ import annotations

from datetime import timedelta

from mmplatform.events import utc_now
from quality.reports.profile import profile_rows, silence_share

NOW = utc_now()
OLD = NOW - timedelta(hours=1)


def row(number=0, **change):
    return {
        "artifact_id": f"a{number}",
        "event_id": f"e{number}",
        "conversation_id": "c",
        "subject_id": "s",
        "event_time": OLD,
        "ingested_at": OLD,
        "text": "hello",
        "role": "customer",
    } | change


def speech(number=0, **change):
    speech_columns = {"start_s": 1.0, "end_s": 3.0, "confidence": 0.9, "status": "final", "language": "en"}
    return row(number, **speech_columns) | change


def test_the_figures_of_an_hour_of_speech():
    rows = [speech(n, confidence=n / 10, language="de" if n == 1 else "en") for n in range(1, 11)]
    figures = profile_rows("transcripts", [*rows, speech(11, status="gap", text="", confidence=0.0)])
    assert figures == {
        "gaps": 1,
        "confidence_p50": 0.55,
        "confidence_p05": 0.145,
        "languages": {"en": 0.9, "de": 0.1},
    }


def test_silence_is_the_audio_without_speech():
    chunks = [{"kind": "call_chunk", "duration_s": 4.0, "channels": 2}, {"kind": "call_end"}]
    assert silence_share([speech()], chunks) == 0.75
    assert silence_share([], []) is None


def test_duplicates_are_counted():
    assert profile_rows("messages", [row(1), row(2), row(3, text="x"), row(4, text="y")]) == {"duplicate_ratio": 0.25}
    assert profile_rows("captions", [{"content_id": "a"}, {"content_id": "a"}]) == {"duplicate_ratio": 0.5}
    assert profile_rows("messages", []) == {}
