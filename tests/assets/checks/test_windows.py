"""The checks of windows as Dagster runs them, over real tables: each fails for its own reason, and passes otherwise."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.checks.windows import check_names
from definitions import defs
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from tests.assets.checks.check_runs import HOUR
from tests.assets.checks.windows_tables import caption, hour_records, land, land_history, message, raw_chat, spoken

USUAL = {"messages": message, "transcripts": spoken, "captions": caption, "raw_chats": raw_chat}


@pytest.fixture
def lakehouse(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    opened = Lakehouse.open(load())
    opened.ensure_tables()
    return opened


def evaluate(table, *names, **config):
    """The evaluations of a table's checks of windows by name, in one run."""
    keys = {dg.AssetCheckKey(dg.AssetKey(table), name) for name in names or check_names(table)}
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection=keys)
    run_config = {"ops": {f"{table}_windows": {"config": config}}}
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, run_config=run_config, raise_on_error=False)
        return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def failed(evaluations):
    return {name for name, evaluation in evaluations.items() if not evaluation.passed}


def worded(record, text):
    return lambda number, at: record(number, at, text=text.format(number=number))


def third_empty(number, at):
    return message(number, at, **({"text": ""} if number % 3 == 1 else {}))


@pytest.mark.parametrize("table", USUAL)
def test_a_usual_hour_passes_every_check(lakehouse, table):
    land_history(lakehouse, USUAL[table])
    land(lakehouse, hour_records(USUAL[table]))
    found = evaluate(table, hour=HOUR)
    assert set(found) == set(check_names(table))
    assert failed(found) == set()
    volume = {name: value.value for name, value in found["volume"].metadata.items()}
    assert (volume["hour"], volume["volume"], volume["usual"], volume["history"]) == (HOUR, 60, 60.0, 3)


@pytest.mark.parametrize(
    ("table", "record", "expected"),
    [
        ("messages", third_empty, {"null_rate", "drift"}),
        ("messages", worded(message, "the same [PERSON]"), {"duplicate_rate", "redacted_share", "drift"}),
        ("messages", worded(message, "no name in sentence {number}"), {"redacted_share", "drift"}),
        ("transcripts", lambda number, at: spoken(number, at, confidence=0.2), {"confidence", "drift"}),
        ("transcripts", lambda number, at: spoken(number, at, language="cy"), {"language_mix"}),
        ("captions", lambda number, at: caption(number, at, confidence=0.55), {"confidence"}),
        ("raw_chats", worded(raw_chat, "ping"), {"duplicate_rate", "drift"}),
    ],
)
def test_a_bad_hour_fails_the_checks_of_its_fault_alone(lakehouse, table, record, expected):
    land_history(lakehouse, USUAL[table])
    land(lakehouse, hour_records(record))
    found = evaluate(table, hour=HOUR)
    assert failed(found) == expected
    for name in expected:
        warns = name in {"drift", "language_mix", "volume"}
        assert found[name].severity == dg.AssetCheckSeverity("WARN" if warns else "ERROR")
        assert found[name].metadata["plot"].value.startswith("![")
    assert "sentence" not in repr(found), "no text of a row"


def test_an_hour_that_is_missing_fails_its_volume_as_an_error(lakehouse):
    land_history(lakehouse, message)
    found = evaluate("messages", hour=HOUR)
    assert failed(found) == {"volume"}
    assert found["volume"].severity == dg.AssetCheckSeverity.ERROR
    assert found["volume"].description == "few rows: 0, usually 24 to 96"


def test_a_bad_hour_of_a_young_table_fails_by_its_limits_alone(lakehouse):
    land(lakehouse, hour_records(lambda number, at: spoken(number, at, confidence=0.2, language="cy")))
    found = evaluate("transcripts", hour=HOUR)
    assert failed(found) == {"confidence"}
    assert "too little history" in found["drift"].description
    assert "too little history" in found["volume"].description


def test_a_small_hour_passes(lakehouse):
    land(lakehouse, hour_records(worded(message, ""), rows=20))
    assert failed(evaluate("messages", hour=HOUR)) == set()


def test_one_check_can_be_evaluated_alone(lakehouse):
    land(lakehouse, hour_records(message))
    assert set(evaluate("messages", "volume", hour=HOUR)) == {"volume"}


def test_the_newest_hour_is_checked_without_a_configuration(lakehouse):
    land_history(lakehouse, message, days=1)
    found = evaluate("messages")
    assert found["volume"].metadata["hour"].value == "2026-03-04-12:00"


def test_a_missing_lakehouse_fails_each_check_and_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path / "absent"))
    found = evaluate("messages")
    assert failed(found) == set(check_names("messages"))
    assert all("there is none in" in evaluation.metadata["unreachable"].value for evaluation in found.values())


def test_an_empty_table_passes(lakehouse):
    assert failed(evaluate("captions")) == set()
    del lakehouse
