"""The check of an hour against its contract: ids and rules, never text."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.events import utc_now
from quality.checks.contract import check_contract
from quality.contracts import ContractLimits

NOW = utc_now()
OLD = NOW - timedelta(hours=1)


def row(number=0, **change):
    return {
        "artifact_id": f"a{number}",
        "event_id": f"e{number}",
        "event_uid": f"uid-{number}",
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
    result = check_contract("raw_chats", rows, ContractLimits(), quarantined_uids={"uid-2"})
    assert result.passed
    assert result.metadata["quarantined"] == 1
    assert not check_contract("raw_chats", rows, ContractLimits(), quarantined_uids={"e2"}).passed, "ids may repeat"


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
        "transcripts", [speech(1), speech(2, status="gap", text="", confidence=0.0)], ContractLimits()
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
