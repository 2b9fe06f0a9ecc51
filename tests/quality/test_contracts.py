"""The contracts as Pandera models: the fast screening of a batch and Pandera's validation decide the same."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pandera.errors as pe
import pandera.polars as pa
import polars as pl
import pytest

from quality.contract_gate import find_violations
from quality.contracts import CONTRACTS, ContractLimits, contract
from quality.contracts.models import MODELS

LIMITS = ContractLimits()
NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
EVENT = {"event_id": "e", "conversation_id": "c", "subject_id": "s", "event_time": NOON, "ingested_at": NOON}
IMAGE = {"width": 640, "height": 480}
ROWS = {
    "raw_chats": EVENT | {"text": "hello"},
    "raw_calls": EVENT | {"duration_s": 1.0, "start_s": 0.0, "channels": 2, "sample_rate": 8000},
    "raw_screenshots": EVENT | IMAGE,
    "messages": EVENT | {"text": "hello", "role": "agent"},
    "transcripts": EVENT | {"text": "hello", "start_s": 0.0, "end_s": 1.0, "confidence": 0.5, "status": "final"},
    "captions": EVENT | IMAGE | {"text": "a window", "image_sha256": "a" * 64},
    "passages": EVENT | {"text": "hello", "vector_norm": 1.0},
}
BAD_VALUES = {
    pl.String(): "a\x00\x07",
    pl.Int64(): 10**9,
    pl.Float64(): math.nan,
    pl.Datetime("us", "UTC"): datetime(1970, 1, 1, tzinfo=UTC),
}
OPTIONAL = {"raw_chats": {"text"}, "raw_calls": {"duration_s", "start_s", "channels", "sample_rate"}}
COLUMNS = [(table, column) for table in CONTRACTS for column in ROWS[table]]


def pandera_accepts(table, frame):
    try:
        contract(table, LIMITS).schema.validate(frame, lazy=True)
    except pe.SchemaErrors:
        return False
    return True


def test_every_table_with_a_contract_has_a_model():
    assert tuple(MODELS) == CONTRACTS
    assert all(issubclass(model, pa.DataFrameModel) for model in MODELS.values())


@pytest.mark.parametrize("table", CONTRACTS)
def test_a_good_row_is_accepted_by_both(table):
    frame = pl.DataFrame([ROWS[table]], schema=dict(contract(table, LIMITS).columns))
    assert contract(table, LIMITS).accepts(frame)
    assert pandera_accepts(table, frame)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
@pytest.mark.parametrize("absent", [True, False])
def test_the_screening_decides_as_pandera_does(table, column, absent):
    schema = contract(table, LIMITS).columns
    bad = None if absent else BAD_VALUES[schema[column]]
    frame = pl.DataFrame([ROWS[table], ROWS[table] | {"event_id": "f", column: bad}], schema=dict(schema))
    assert contract(table, LIMITS).accepts(frame) == pandera_accepts(table, frame)


@pytest.mark.parametrize("table", CONTRACTS)
def test_nullability_is_by_column(table):
    required = {name for name, column in contract(table, LIMITS).schema.columns.items() if not column.nullable}
    assert set(ROWS[table]) - required == OPTIONAL.get(table, set())
    for column in required:
        found = find_violations(table, [ROWS[table], ROWS[table] | {"event_id": "f", column: None}], LIMITS)
        assert f"{column}: present" in found[1]
        assert 0 not in found


@pytest.mark.parametrize("table", ["messages", "transcripts", "captions"])
def test_one_artifact_has_one_row(table):
    rows = [ROWS[table], ROWS[table] | {"event_id": "f"}, ROWS[table]]
    assert find_violations(table, rows, LIMITS) == dict.fromkeys((0, 2), ("event_id: unique",))


def test_an_event_that_the_log_delivers_twice_breaks_no_contract():
    assert find_violations("raw_chats", [ROWS["raw_chats"]] * 2, LIMITS) == {}


@pytest.mark.parametrize("kind", ["chat_message", "chat_edited", "chat_deleted", "chat_redacted", None])
def test_only_a_deletion_and_a_redaction_have_no_text(kind):
    rows = [ROWS["raw_chats"], ROWS["raw_chats"] | {"kind": kind, "text": None}]
    without = kind in {"chat_deleted", "chat_redacted"}
    assert find_violations("raw_chats", rows, LIMITS) == ({} if without else {1: ("text: present",)})


def test_a_vector_that_is_no_number_is_stopped():
    assert find_violations("passages", [ROWS["passages"] | {"vector_norm": math.nan}], LIMITS)
