"""The contract check as Dagster runs it, over real tables."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.artifacts import artifact_id
from tests.assets.checks.check_runs import HOUR, check, metadata
from tests.assets.utterances import utterance
from tests.builders import call_end, chunk
from tests.land.records import NOON, message, passage

pytestmark = pytest.mark.broker


def test_an_hour_that_keeps_its_contract_passes_with_its_figures(stores):
    stores.land(message(1, text="hello"), message(2, text="hello"))
    found = check("messages", "contract")
    assert found.passed
    assert metadata(found)["hour"] == HOUR
    assert metadata(found)["rows"] == 2
    assert metadata(found)["duplicate_ratio"] == 0.5


def test_a_row_that_breaks_its_contract_fails_the_check_by_id_and_never_by_text(stores):
    bad = message(1, text="write to ann@example.com")
    stores.land(bad, message(2))
    found = check("messages", "contract")
    assert not found.passed
    assert metadata(found)["ids"] == [bad.artifact_id]
    assert "ann@example" not in repr(found)


def test_vectors_are_checked_too(stores):
    stores.land(passage(1), passage(2, vector=[0.5] * 8))
    found = check("passages", "contract")
    assert metadata(found)["rules"] == {"vector_norm: vector of unit length": 1.0}


def test_the_configured_hour_is_checked(stores):
    stores.land(message(1), message(2, at=NOON + timedelta(hours=3), text="write to ann@example.com"))
    assert not check("messages", "contract").passed
    assert check("messages", "contract", hour=HOUR).passed


def test_an_empty_table_passes(stores):
    assert check("messages", "contract").description == "the table is empty"
    del stores


@pytest.mark.parametrize("table", ["raw_calls", "raw_screenshots", "transcripts", "captions", "passages"])
def test_every_contract_reads_the_columns_of_its_table(stores, table):
    assert check(table, "contract", hour=HOUR).passed
    del stores


def test_a_missing_lakehouse_fails_the_check_and_is_not_created(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path / "absent"))
    for name in ("contract", "freshness_gap", "completeness"):
        found = check("messages", name)
        assert not found.passed
        assert "there is none in" in metadata(found)["unreachable"]
    assert list(tmp_path.iterdir()) == []


def test_ids_are_those_of_the_artifacts(stores):
    stores.land(message(7, text="write to ann@example.com"))
    assert metadata(check("messages", "contract"))["ids"] == [artifact_id("message", "event-7", 0)]


def test_calls_pass_with_the_figures_of_their_speech_and_silence(stores):
    stores.land(chunk(0), chunk(1), call_end(), utterance(0), utterance(1, status="gap", text="", confidence=0.0))
    assert check("raw_calls", "contract").passed
    found = check("transcripts", "contract")
    assert found.passed
    assert metadata(found)["confidence_p50"] == 0.8
    assert metadata(found)["share_of_silence"] == 0.75
    assert metadata(found)["languages"] == {"en": 1.0}
    assert metadata(found)["gaps"] == 1
