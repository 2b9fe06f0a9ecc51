"""Contract, freshness, completeness and profile of rows, without a store and without Dagster."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.events import utc_now
from quality.checks.backlog import STALLED_S, Backlog
from quality.checks.completeness import (
    CALL_END_REASON,
    NO_SPEECH_REASON,
    IndexedPassage,
    check_events_accounted,
    check_index_matches_table,
)
from quality.checks.contract import check_contract
from quality.checks.freshness_gap import check_freshness
from quality.contracts import ContractLimits
from quality.quantiles import quantile
from quality.reports.profile import profile_rows, silence_share
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
    result = check_contract("messages", [row(1), row(2, text=secret), row(3, role="nobody")], ContractLimits())
    assert not result.passed
    assert result.metadata["ids"] == ["a2", "a3"]
    assert result.metadata["rules"] == {"text: no e-mail address": 1.0, "role: a known role": 1.0}
    assert secret not in repr(result)


def test_a_quarantined_event_is_no_breach_of_the_raw_table():
    rows = [row(1), row(2, text=" ")]
    assert not check_contract("raw_chats", rows, ContractLimits()).passed
    result = check_contract("raw_chats", rows, ContractLimits(), quarantined_ids={"e2"})
    assert result.passed
    assert result.metadata["quarantined"] == 1


def speech(number=0, **change):
    speech_columns = {"start_s": 1.0, "end_s": 3.0, "confidence": 0.9, "status": "final", "language": "en"}
    return row(number, **speech_columns) | change


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
    assert check_contract(
        "transcripts", [speech(), speech(status="gap", text="", confidence=0.0)], ContractLimits()
    ).passed
    assert list(check_contract("transcripts", [speech(**change)], ContractLimits()).metadata["rules"]) == [rule]


def test_a_caption_keeps_its_contract():
    good = row(width=640, height=480, image_sha256="a" * 64)
    assert check_contract("captions", [good], ContractLimits()).passed
    broken = check_contract(
        "captions", [good | {"image_sha256": "x", "width": 10**6, "height": 10**6}], ContractLimits()
    )
    assert set(broken.metadata["rules"]) == {"image_sha256: a SHA-256", "width: at most 50000000 pixels"}


def test_an_hour_without_rows_keeps_the_contract():
    assert check_contract("messages", [], ContractLimits()).description == "no rows in this hour"


def test_gaps_within_the_budget_hold_and_one_in_fifty_over_it_does_not():
    assert check_freshness({"chat": [0.5] * 100}, MODALITY_SLAS, NOTHING_WAITS).passed
    result = check_freshness({"chat": [0.5] * 49 + [9.0], "call": [4.0]}, MODALITY_SLAS, NOTHING_WAITS)
    assert not result.passed
    assert result.description == "chat: 98.0% within 2 s, 99% promised"
    assert result.metadata["chat_p50_s"] == 0.5


def test_a_quiet_hour_is_not_stale():
    result = check_freshness({}, MODALITY_SLAS, NOTHING_WAITS)
    assert result.passed
    assert result.description == "quiet: nothing landed and nothing waits"


def test_a_long_wait_is_a_stalled_watermark_and_a_short_one_is_not():
    assert check_freshness({}, MODALITY_SLAS, Backlog(3, STALLED_S)).passed
    result = check_freshness({}, MODALITY_SLAS, Backlog(3, STALLED_S + 1))
    assert not result.passed
    assert "3 wait, the oldest for 61 s" in result.description


def event(event_id, kind="chat_message", offset=0, ingested_at=OLD):
    log_position = {"topic": "t", "topic_partition": 0, "log_offset": offset}
    return {"event_id": event_id, "kind": kind, "ingested_at": ingested_at, **log_position}


def check_events(*events, derived=(), quarantined=(), done=100):
    settled = NOW - timedelta(minutes=2)
    return check_events_accounted(
        events,
        derived_event_ids=derived,
        quarantined_ids=set(quarantined),
        consumed_offsets={("t", 0): done},
        settled_before=settled,
    )


def test_every_event_ends_in_an_artifact_in_quarantine_or_with_a_reason():
    result = check_events(
        event("made", "call_chunk"),
        event("bad"),
        event("end", "call_end"),
        event("silent", "call_chunk"),
        event("young", ingested_at=NOW),
        derived=[["other", "made"]],
        quarantined=["bad"],
    )
    assert result.passed
    assert result.metadata["became"] == {
        "an artifact": 1,
        "set aside": 1,
        CALL_END_REASON: 1,
        NO_SPEECH_REASON: 1,
        "under way": 1,
    }


def test_a_lost_event_is_named_and_so_is_one_that_still_waits():
    result = check_events(event("lost", offset=3), event("late", "call_chunk", offset=50), done=50)
    assert not result.passed
    assert (result.metadata["missing"], result.metadata["not_derived_yet"]) == (1, 1)
    assert result.metadata["ids"] == ["late", "lost"]


def test_at_most_ten_ids_are_named():
    assert len(check_events(*(event(f"e{n:02}") for n in range(30))).metadata["ids"]) == 10


def passage(number, derived_at=OLD, embedder="m@1"):
    return {"artifact_id": f"p{number}", "embedder": embedder, "derived_at": derived_at}


def listed(number, derived_at=OLD, embedder="m@1"):
    return IndexedPassage(f"p{number}", embedder, derived_at)


def mirrors(rows, found, embedders=()):
    return check_index_matches_table(rows, found, settled_before=NOW - timedelta(minutes=2), embedders=embedders)


def test_index_and_table_are_compared_both_ways():
    assert mirrors([passage(1)], [listed(1)]).passed
    result = mirrors([passage(1), passage(2)], [listed(2), listed(3)])
    assert not result.passed
    assert result.metadata["ids_not_indexed"] == ["p1"]
    assert result.metadata["ids_not_in_the_table"] == ["p3"]


def test_what_is_under_way_is_counted_and_is_no_breach():
    result = mirrors([passage(1, NOW)], [listed(2, NOW)])
    assert result.passed
    assert result.metadata["under_way"] == 2


def test_a_passage_that_only_another_embedder_indexed_is_missing_and_one_that_both_did_is_not():
    assert mirrors([passage(1)], [listed(1), listed(1, embedder="old@1")]).passed
    assert mirrors([passage(1)], [listed(1, embedder="old@1")]).metadata["ids_not_indexed"] == ["p1"]


def test_each_active_embedder_must_have_every_passage_and_others_are_ignored():
    both = ("m@1", "new@2")
    assert mirrors([passage(1)], [listed(1), listed(1, embedder="new@2")], both).passed
    assert mirrors([passage(1)], [listed(1)], both).metadata["ids_not_indexed"] == ["p1"]
    assert mirrors([passage(1)], [listed(1, embedder="new@2")], ("new@2",)).passed
    assert mirrors([passage(1)], [listed(1), listed(2, embedder="new@2")], both).metadata["not_in_the_table"] == 1
    assert mirrors([passage(1)], [listed(1), listed(2, embedder="left@0")], ("m@1",)).passed


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
    of_before = [{"content_id": None}, {"content_id": None}, {"content_id": "a"}]
    assert profile_rows("captions", of_before) == {"duplicate_ratio": 0.0}, "rows without the id say nothing"
    assert profile_rows("messages", []) == {}


def test_quantiles_lie_between_their_neighbours():
    assert [quantile([3.0, 1.0, 2.0], at) for at in (0, 0.5, 0.75, 1)] == [1.0, 2.0, 2.5, 3.0]
