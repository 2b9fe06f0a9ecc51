"""What checks say of rows, without a store and without Dagster."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.events import utc_now
from quality.checks.completeness import CALL_END, NOT_HEARD, Listed, accounted, mirrored
from quality.checks.verdict import STALLED_S, Backlog, kept, within
from quality.contracts import Limits
from quality.quantiles import quantile
from quality.reports.profile import share_of_silence, statistics
from quality.slas import MODALITY_SLAS

NOW = utc_now()
OLD = NOW - timedelta(hours=1)
NOTHING_WAITS = Backlog(lag=0)


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


def test_rows_that_break_the_contract_are_named_by_id_and_rule_and_never_by_text():
    secret = "write to ann@example.com"
    verdict = kept("messages", [row(1), row(2, text=secret), row(3, role="nobody")], Limits())
    assert not verdict.holds
    assert verdict.figures["ids"] == ["a2", "a3"]
    assert verdict.figures["rules"] == {"text: no e-mail address": 1.0, "role: a known role": 1.0}
    assert secret not in repr(verdict)


def test_an_event_that_the_gate_set_aside_is_no_breach_of_the_raw_table():
    rows = [row(1), row(2, text=" ")]
    assert not kept("raw_chats", rows, Limits()).holds
    verdict = kept("raw_chats", rows, Limits(), aside={"e2"})
    assert verdict.holds
    assert verdict.figures["quarantined"] == 1


def speech(number=0, **change):
    of_speech = {"start_s": 1.0, "end_s": 3.0, "confidence": 0.9, "status": "final", "language": "en"}
    return row(number, **of_speech) | change


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"end_s": 0.5}, "end_s: ends after it starts"),
        ({"confidence": 1.5}, "confidence: confidence from 0 to 1"),
        ({"status": "gap"}, "text: words, or a gap without any"),
        ({"text": ""}, "text: words, or a gap without any"),
        ({"status": "lost"}, "status: draft, final or gap"),
        ({"text": "card 4111 1111 1111 1111"}, "text: no card number"),
    ],
)
def test_a_transcript_keeps_its_contract(change, rule):
    assert kept("transcripts", [speech(), speech(status="gap", text="", confidence=0.0)], Limits()).holds
    assert list(kept("transcripts", [speech(**change)], Limits()).figures["rules"]) == [rule]


def test_a_caption_keeps_its_contract():
    good = row(width=640, height=480, image_sha256="a" * 64)
    assert kept("captions", [good], Limits()).holds
    broken = kept("captions", [good | {"image_sha256": "x", "width": 10**6, "height": 10**6}], Limits())
    assert set(broken.figures["rules"]) == {"image_sha256: a SHA-256", "width: at most 50000000 pixels"}


def test_an_hour_without_rows_keeps_the_contract_and_says_so():
    assert kept("messages", [], Limits()).words == "no rows in this hour"


def test_gaps_within_the_budget_hold_and_one_in_fifty_over_it_does_not():
    assert within({"chat": [0.5] * 100}, MODALITY_SLAS, NOTHING_WAITS).holds
    verdict = within({"chat": [0.5] * 49 + [9.0], "call": [4.0]}, MODALITY_SLAS, NOTHING_WAITS)
    assert not verdict.holds
    assert verdict.words == "chat: 98.0% within 2 s, 99% promised"
    assert verdict.figures["chat_p50_s"] == 0.5


def test_a_quiet_hour_is_not_stale():
    verdict = within({}, MODALITY_SLAS, NOTHING_WAITS)
    assert verdict.holds
    assert verdict.words == "quiet: nothing landed and nothing waits"


def test_what_has_waited_long_is_a_standing_watermark_and_what_just_came_is_not():
    assert within({}, MODALITY_SLAS, Backlog(3, STALLED_S)).holds
    verdict = within({}, MODALITY_SLAS, Backlog(3, STALLED_S + 1))
    assert not verdict.holds
    assert "3 wait, the oldest for 61 s" in verdict.words


def event(event_id, kind="chat_message", offset=0, ingested_at=OLD):
    place = {"topic": "t", "topic_partition": 0, "log_offset": offset}
    return {"event_id": event_id, "kind": kind, "ingested_at": ingested_at, **place}


def judged(*events, derived=(), aside=(), done=100):
    settled = NOW - timedelta(minutes=2)
    return accounted(events, derived=derived, aside=set(aside), done={("t", 0): done}, settled=settled)


def test_every_event_ends_in_an_artifact_in_quarantine_or_with_a_reason():
    verdict = judged(
        event("made", "call_chunk"),
        event("bad"),
        event("end", "call_end"),
        event("silent", "call_chunk"),
        event("young", ingested_at=NOW),
        derived=[["other", "made"]],
        aside=["bad"],
    )
    assert verdict.holds
    assert verdict.figures["became"] == {"an artifact": 1, "set aside": 1, CALL_END: 1, NOT_HEARD: 1, "under way": 1}


def test_a_lost_event_is_named_and_so_is_one_that_still_waits():
    verdict = judged(event("lost", offset=3), event("late", "call_chunk", offset=50), done=50)
    assert not verdict.holds
    assert (verdict.figures["missing"], verdict.figures["not_derived_yet"]) == (1, 1)
    assert verdict.figures["ids"] == ["late", "lost"]


def test_at_most_ten_ids_are_named():
    assert len(judged(*(event(f"e{n:02}") for n in range(30))).figures["ids"]) == 10


def passage(number, derived_at=OLD, embedder="m@1"):
    return {"artifact_id": f"p{number}", "embedder": embedder, "derived_at": derived_at}


def listed(number, derived_at=OLD, embedder="m@1"):
    return Listed(f"p{number}", embedder, derived_at)


def mirrors(rows, found, embedders=()):
    return mirrored(rows, found, settled=NOW - timedelta(minutes=2), embedders=embedders)


def test_index_and_table_are_compared_both_ways():
    assert mirrors([passage(1)], [listed(1)]).holds
    verdict = mirrors([passage(1), passage(2)], [listed(2), listed(3)])
    assert not verdict.holds
    assert verdict.figures["ids_not_indexed"] == ["p1"]
    assert verdict.figures["ids_not_in_the_table"] == ["p3"]


def test_what_is_under_way_is_counted_and_is_no_breach():
    verdict = mirrors([passage(1, NOW)], [listed(2, NOW)])
    assert verdict.holds
    assert verdict.figures["under_way"] == 2


def test_a_passage_that_only_another_embedder_indexed_is_missing_and_one_that_both_did_is_not():
    assert mirrors([passage(1)], [listed(1), listed(1, embedder="old@1")]).holds
    assert mirrors([passage(1)], [listed(1, embedder="old@1")]).figures["ids_not_indexed"] == ["p1"]


def test_each_embedder_in_use_must_hold_every_passage_whoever_embedded_it_and_others_are_not_looked_at():
    both = ("m@1", "new@2")
    assert mirrors([passage(1)], [listed(1), listed(1, embedder="new@2")], both).holds
    assert mirrors([passage(1)], [listed(1)], both).figures["ids_not_indexed"] == ["p1"]
    assert mirrors([passage(1)], [listed(1, embedder="new@2")], ("new@2",)).holds
    assert mirrors([passage(1)], [listed(1), listed(2, embedder="new@2")], both).figures["not_in_the_table"] == 1
    assert mirrors([passage(1)], [listed(1), listed(2, embedder="left@0")], ("m@1",)).holds


def test_the_figures_of_an_hour_of_speech():
    rows = [speech(n, confidence=n / 10, language="de" if n == 1 else "en") for n in range(1, 11)]
    figures = statistics("transcripts", [*rows, speech(11, status="gap", text="", confidence=0.0)])
    assert figures == {
        "gaps": 1,
        "confidence_p50": 0.55,
        "confidence_p05": 0.145,
        "languages": {"en": 0.9, "de": 0.1},
    }


def test_silence_is_the_audio_in_which_nobody_spoke():
    chunks = [{"kind": "call_chunk", "duration_s": 4.0, "channels": 2}, {"kind": "call_end"}]
    assert share_of_silence([speech()], chunks) == 0.75
    assert share_of_silence([], []) is None


def test_what_came_twice_is_told():
    assert statistics("messages", [row(1), row(2), row(3, text="x"), row(4, text="y")]) == {"duplicate_ratio": 0.25}
    assert statistics("captions", [{"duplicate_of": None}, {"duplicate_of": "a"}]) == {"duplicate_ratio": 0.5}
    assert statistics("messages", []) == {}


def test_quantiles_lie_between_their_neighbours():
    assert [quantile([3.0, 1.0, 2.0], at) for at in (0, 0.5, 0.75, 1)] == [1.0, 2.0, 2.5, 3.0]
