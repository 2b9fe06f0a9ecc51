from pathlib import Path

import pytest

from mmplatform.local.services.environment import Addresses, worker_environment
from mmplatform.settings import Settings, load

ADDRESSES = Addresses("127.0.0.1:1234", "http://127.0.0.1:5678", 8081)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MMPLATFORM_{name.upper()}", raising=False)


def test_a_worker_reads_back_exactly_the_supervisors_settings(monkeypatch, tmp_path):
    given = load(
        data_dir=tmp_path,
        kafka_sasl_password="secret word",
        asr_beam=3,
        asr_language="auto",
        archive_commit_s=7.5,
        topic_prefix="t.",
    )
    for name, value in worker_environment(given, ADDRESSES, instance="2", metrics_port=9999).items():
        monkeypatch.setenv(name, value)
    assert load() == given.model_copy(
        update={
            "kafka": "127.0.0.1:1234",
            "chroma": "http://127.0.0.1:5678",
            "gateway_port": 8081,
            "instance": "2",
            "metrics_port": 9999,
        }
    )


def test_paths_are_absolute_so_that_a_worker_may_run_anywhere():
    environment = worker_environment(Settings(data_dir=Path("rel"), models_dir=Path("models")), ADDRESSES)
    assert environment["MMPLATFORM_DATA_DIR"] == str(Path.cwd() / "rel")
    assert environment["MMPLATFORM_MODELS_DIR"] == str(Path.cwd() / "models")


def test_the_file_of_lineage_events_is_one_file_wherever_a_worker_runs():
    environment = worker_environment(Settings(lineage="file:events.jsonl"), ADDRESSES)
    assert environment["MMPLATFORM_LINEAGE"] == f"file:{Path.cwd() / 'events.jsonl'}"
    elsewhere = worker_environment(Settings(lineage="file:/var/events.jsonl"), ADDRESSES)
    assert elsewhere["MMPLATFORM_LINEAGE"] == "file:/var/events.jsonl"


def test_what_is_not_set_is_not_passed_on():
    assert "MMPLATFORM_MODELS_DIR" not in worker_environment(Settings(), ADDRESSES)
