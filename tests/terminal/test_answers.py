"""What a person reads: times with their zone, ages, and figures with what they were measured over."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO

import pytest
from rich.console import Console

from mmplatform.events import utc_now
from mmplatform.telemetry.freshness import WINDOW_S, FreshnessTracker, freshness_payload
from mmplatform.terminal.answers import format_time, print_freshness, print_hit, print_hits, shorten
from tests.builders import NOW, stamps


def printed(act, *arguments, width=200, **named):
    console = Console(file=StringIO(), width=width)
    act(*arguments, console, **named)
    return console.file.getvalue()


def hit(**changes):
    return {
        "score": 0.8137,
        "text": "the [red]payment failed\n twice",
        "source": "chat message e1 (customer)",
        "event_time": "2026-03-01T09:00:00.250Z",
        "retrievable_at": "2026-03-02T00:00:01+00:00",
        "found_in": "index",
        "age_s": 90_000.0,
        "gap_s": 0.21,
    } | changes


def row(text, name):
    return " ".join(next(line for line in text.splitlines() if line.startswith(name)).split())


def test_a_hit_says_where_it_comes_from_when_it_happened_and_when_it_was_indexed():
    first, second = printed(print_hit, hit()).splitlines()
    assert first == "0.81  the [red]payment failed twice"
    assert second.strip() == (
        "chat message e1 (customer) · 2026-03-01 09:00:00 UTC, 1d 01h ago"
        " · indexed 2026-03-02 00:00:01 UTC, after 210 ms"
    )


def test_a_day_is_said_only_when_it_is_not_today():
    noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    assert format_time("2026-03-01T00:00:00Z", noon) == "00:00:00 UTC"
    assert format_time("2026-02-28T23:59:59Z", noon) == "2026-02-28 23:59:59 UTC"
    assert format_time("2026-03-01T01:30:00+02:00", noon) == "2026-02-28 23:30:00 UTC", (
        "another zone's today is no day here"
    )
    assert format_time(noon.astimezone(timezone(timedelta(hours=5))), noon) == "12:00:00 UTC"
    assert format_time(utc_now()).count("-") == 0


def test_a_hit_that_the_index_does_not_have_yet_says_found():
    _, second = printed(print_hit, hit(found_in="tail")).splitlines()
    assert second.strip().endswith(" · found 2026-03-02 00:00:01 UTC, after 210 ms")


def answer(*hits, index="searched", tail="current"):
    return {"hits": list(hits), "took_ms": 3.4, "coverage": {"index": index, "tail": tail}}


def test_no_hits_are_reported_and_several_are_counted():
    assert printed(print_hits, answer()) == "nothing found\n"
    assert printed(print_hits, answer(hit(), hit())).endswith("2 passages in 3 ms\n")
    assert printed(print_hits, answer(tail="off")) == "nothing found\n"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"index": "unavailable"}, "the index does not answer"),
        ({"tail": "catching_up"}, "still reads the log"),
        ({"tail": "full"}, "is full"),
        ({"tail": "unavailable"}, "the log does not answer"),
    ],
)
def test_an_answer_says_what_it_may_be_missing_with_hits_and_without(parts, words):
    for hits in ([], [hit()]):
        assert words in printed(print_hits, answer(*hits, **parts)).splitlines()[-1]


def receipt(subject=None, **modality):
    quiet = {"modality": "chat", "complete_until": None, "pending": 0, "open_calls": 0, "stalled": False}
    return {"modalities": [quiet | modality], "subject": subject}


OF_A_SUBJECT = {"pending": 0, "open_calls": [{"conversation_id": "c"}], "refused": {"identity": 2, "shed": 1}}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"receipt": receipt(pending=3)}, "chat: 3 events are not derived yet"),
        ({"receipt": receipt(stalled=True)}, "chat: no deriver has reported for ten seconds"),
        (
            {"receipt": receipt(OF_A_SUBJECT)},
            "1 calls of the subject are being spoken\n3 events of the subject were ref",
        ),
        ({"fence": {"reached": False, "waited_ms": 300.4}}, "not in reach after 300 ms"),
        ({"receipt": receipt(), "fence": {"reached": True, "waited_ms": 3.0}}, "nothing found"),
    ],
)
def test_a_receipt_is_printed_where_something_is_missing(more, words):
    assert words in printed(print_hits, answer() | more)
    if words == "nothing found":
        assert printed(print_hits, answer() | more) == "nothing found\n"


@pytest.fixture
def page():
    tracker = FreshnessTracker()
    tracker.record("chat", stamps(), NOW + timedelta(seconds=10))
    tracker.record("call", stamps(derived_at=NOW + timedelta(seconds=3.5)), NOW + timedelta(seconds=4))
    return freshness_payload(tracker.summary())


def test_the_figures_have_their_stages_their_budget_and_their_newest_event_in_eighty_columns(page):
    text = printed(print_freshness, page, width=80, measured_since="2026-08-01T09:00:00+00:00")
    chat, _, budgets = text.partition("\n\n")
    assert row(chat, "chat") == "chat 10.0 s 10.0 s 10.0 s 10.0 s 1.0 s 2.0 s 3.0 s 4.0 s*"
    assert row(chat, "call") == "call 4.0 s 4.0 s 4.0 s 4.0 s 1.0 s 2.0 s* 500 ms 500 ms"
    assert row(budgets, "chat") == "chat 1 0 2 s 2026-08-01 10:00:00 UTC"
    assert "in the last 15 minutes" in text
    assert "…" not in text


def test_a_young_indexer_says_since_when_it_has_measured(page):
    since = utc_now() - timedelta(seconds=130)
    text = printed(print_freshness, page, measured_since=since.isoformat())
    assert re.search(rf"in the \dm \d\ds since this indexer started, at {format_time(since)}", text)
    assert "15 minutes" not in text


def test_nothing_measured_by_a_young_indexer_is_not_taken_for_nothing_in_the_window():
    young = (utc_now() - timedelta(seconds=130)).isoformat()
    old = (utc_now() - timedelta(seconds=WINDOW_S + 1)).isoformat()
    pattern = r"no passage became retrievable in the \dm \d\ds since this indexer started"
    assert re.match(pattern, printed(print_freshness, {}, measured_since=young))
    assert "in the last 15 minutes" in printed(print_freshness, {}, measured_since=old)


def test_a_long_passage_is_one_line():
    assert shorten(" a\n b\t c ") == "a b c"
    assert shorten("x" * 200, 10) == "xxxxxxxxx…"
