from pathlib import Path

import pytest

from mmplatform.local.services.environment import Addresses, worker_environment
from mmplatform.settings import Settings, load
from tests.setting_names import SETTING_NAMES

ADDRESSES = Addresses("127.0.0.1:1234", "http://127.0.0.1:5678", 8081)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in SETTING_NAMES:
        monkeypatch.delenv(f"MMPLATFORM_{name.upper()}", raising=False)


def test_a_worker_reads_back_exactly_the_supervisors_settings(monkeypatch, tmp_path):
    given = load(
        data_dir=tmp_path,
        kafka_sasl_password="secret word",
        asr_beam_size=3,
        asr_language="auto",
        archive_commit_interval_s=7.5,
        topic_prefix="t.",
    )
    for name, value in worker_environment(given, ADDRESSES, instance="2", metrics_port=9999).items():
        monkeypatch.setenv(name, value)
    assert load() == given.model_copy(
        update={
            "kafka_bootstrap_servers": "127.0.0.1:1234",
            "chroma_url": "http://127.0.0.1:5678",
            "gateway_port": 8081,
            "worker_instance_id": "2",
            "metrics_port": 9999,
        }
    )


def test_paths_are_absolute_so_that_a_worker_may_run_anywhere():
    given = Settings(data_dir=Path("rel"), models_dir=Path("models"), redaction_policy=Path("policy.yaml"))
    environment = worker_environment(given, ADDRESSES)
    assert environment["MMPLATFORM_REDACTION_POLICY"] == str(Path.cwd() / "policy.yaml")
    assert environment["MMPLATFORM_DATA_DIR"] == str(Path.cwd() / "rel")
    assert environment["MMPLATFORM_MODELS_DIR"] == str(Path.cwd() / "models")


def test_the_file_of_lineage_events_is_one_file_wherever_a_worker_runs():
    environment = worker_environment(Settings(openlineage_url="file:events.jsonl"), ADDRESSES)
    assert environment["MMPLATFORM_OPENLINEAGE_URL"] == f"file:{Path.cwd() / 'events.jsonl'}"
    elsewhere = worker_environment(Settings(openlineage_url="file:/var/events.jsonl"), ADDRESSES)
    assert elsewhere["MMPLATFORM_OPENLINEAGE_URL"] == "file:/var/events.jsonl"


def test_unset_settings_are_not_passed_on():
    assert "MMPLATFORM_MODELS_DIR" not in worker_environment(Settings(), ADDRESSES)
