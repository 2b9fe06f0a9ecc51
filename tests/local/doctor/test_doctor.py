import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from mmplatform.local import run_file
from mmplatform.local.doctor import doctor
from mmplatform.local.doctor.doctor import Finding, _stores, run_checks
from mmplatform.local.run_file import ServiceRun, StackLock, StackRun
from mmplatform.local.services import port_leases
from mmplatform.settings import Settings, load


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_CLOCK_SAMPLE_S", 0.01)
    for name in ("whisper-base", "minilm", "rampart", "lid-176"):
        model = tmp_path / "models" / name
        model.mkdir(parents=True)
        (model / "COMPLETE").touch()
    return Settings(
        data_dir=tmp_path / "data", models_dir=tmp_path / "models", kafka_bootstrap_servers="", chroma_url=""
    )


def found(settings: Settings, check: str) -> Finding:
    return next(finding for finding in run_checks(settings) if finding.check == check)


@pytest.fixture
def ample(monkeypatch):
    """Any amount of disk, memory and files is enough."""
    for limit in ("_MIN_DISK_BYTES", "_MIN_MEMORY_BYTES", "_MIN_OPEN_FILES"):
        monkeypatch.setattr(doctor, limit, 0)


@pytest.mark.usefixtures("ample")
def test_nothing_fails_on_a_machine_that_can_run_the_stack(settings):
    assert [finding for finding in run_checks(settings) if finding.status == "failed"] == []


def test_every_failed_finding_has_a_fix(settings, monkeypatch):
    monkeypatch.setattr(doctor, "_SUPPORTED_PYTHONS", ())
    monkeypatch.setattr(doctor, "_MIN_DISK_BYTES", 10**18)
    monkeypatch.setattr(doctor, "_MIN_MEMORY_BYTES", 10**18)
    monkeypatch.setattr(doctor, "_MIN_OPEN_FILES", 10**18)
    monkeypatch.setattr(doctor, "_PLAUSIBLE_YEARS", ())
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _name: None)
    broken = settings.model_copy(update={"asr_model": "nowhere", "kafka_bootstrap_servers": "127.0.0.1:1"})
    failed = [finding for finding in run_checks(broken) if finding.status == "failed"]
    assert {finding.check for finding in failed} >= {
        "python", "disk for data", "disk for models", "memory", "open files", "clock", "packages", "model asr_model",
        "reach kafka_bootstrap_servers",
    }  # fmt: skip
    assert all(finding.fix for finding in failed)


def test_the_fix_for_a_missing_model_is_to_pull_it(settings):
    (settings.models_path / "minilm" / "COMPLETE").unlink()
    (settings.models_path / "minilm").rename(settings.models_path / "gone")
    finding = found(settings, "model embedding_model")
    assert finding.status == "failed"
    assert "mmplatform models pull" in finding.fix


def test_a_model_of_a_hub_is_a_warning_only(settings):
    hub = settings.model_copy(update={"asr_model": "someone/whisper-large"})
    assert found(hub, "model asr_model").status == "warning"


def test_an_occupied_port_is_a_warning_because_another_is_found(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        finding = found(settings.model_copy(update={"gateway_port": taken}), "ports")
    assert finding.status == "warning"
    assert f"gateway {taken}" in finding.detail


def test_a_data_directory_that_cannot_be_written_fails(settings, tmp_path):
    (tmp_path / "file").touch()
    finding = found(settings.model_copy(update={"data_dir": tmp_path / "file" / "data"}), "data directory")
    assert finding.status == "failed"
    assert "MMPLATFORM_DATA_DIR" in finding.fix


def test_a_clock_that_jumps_fails(settings, monkeypatch):
    true_time, calls = time.time, iter((0.0, 5.0))
    monkeypatch.setattr(doctor.time, "time", lambda: true_time() + next(calls, 0.0))
    assert found(settings, "clock").status == "failed"


def test_a_clock_in_another_age_fails(settings, monkeypatch):
    monkeypatch.setattr(doctor, "utc_now", lambda: datetime(1970, 1, 1, tzinfo=UTC))
    assert found(settings, "clock").status == "failed"


def test_a_clock_without_synchronisation_is_a_warning_even_when_steady(settings, monkeypatch):
    monkeypatch.setattr(doctor, "is_synchronised", lambda: False)
    finding = found(settings, "clock")
    assert finding.status == "warning"
    assert "time synchronisation" in finding.fix
    monkeypatch.setattr(doctor, "is_synchronised", lambda: None)
    finding = found(settings, "clock")
    assert (finding.status, "not checked" in finding.detail) == ("ok", True)
    monkeypatch.setattr(doctor, "is_synchronised", lambda: True)
    finding = found(settings, "clock")
    assert (finding.status, "synchronised" in finding.detail) == ("ok", True)


@pytest.fixture
def machine(monkeypatch):
    """A machine with this much memory available, and this much left by its control group."""

    def machine(available: float, left: float | None = None) -> None:
        monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: SimpleNamespace(available=int(available)))
        monkeypatch.setattr(doctor, "memory_left", lambda: None if left is None else int(left))

    return machine


def test_memory_above_the_limit_of_a_control_group_is_not_available(settings, machine):
    machine(16e9)
    assert found(settings, "memory").status == "ok"
    machine(16e9, 20e9)
    assert found(settings, "memory") == Finding("memory", "ok", "16.0 GB available")
    machine(16e9, 1e9)
    finding = found(settings, "memory")
    assert finding.status == "failed"
    assert "1.0 GB available under the limit of the control group" in finding.detail


def test_memory_that_the_running_stack_uses_is_available_to_it(settings, machine):
    machine(1.9e9)
    assert found(settings, "memory").status == "failed"
    with subprocess.Popen([sys.executable, "-c", "held = b'x' * 200_000_000; print(flush=True); input()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        lock = StackLock(settings.data_dir)
        lock.acquire()
        service = ServiceRun(pid=process.pid, state="ready", restarts=0, metrics_url="", log="")
        run = StackRun(
            pid=os.getpid(), started_at=doctor.utc_now(), data_dir="", gateway="", kafka="", chroma="", dagster="",
            services={"index": service, "archive": service.model_copy(update={"pid": None})},
        )  # fmt: skip
        run_file.write(settings.data_dir, run)
        finding = found(settings, "memory")
        lock.release()
        process.kill()
    assert finding.status == "warning"
    assert "0.2 GB in use by the running stack" in finding.detail


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("chroma_url", "http://[::1"),
        ("chroma_url", "http://host:99999"),
        ("chroma_url", "localhost:8000"),
        ("kafka_bootstrap_servers", "[::1:9092"),
        ("kafka_bootstrap_servers", ","),
        ("s3_endpoint", "http://[::1"),
        ("iceberg_catalog", "postgresql+psycopg2://user:hunter2@[::1/db"),
        ("iceberg_catalog", "postgresql+psycopg2://user:hunter2\u2100@h/db"),
    ],
)
def test_a_malformed_address_is_a_finding(settings, setting, value):
    findings = run_checks(settings.model_copy(update={setting: value}))
    finding = next(finding for finding in findings if finding.check == f"reach {setting}")
    assert finding.status == "failed"
    assert "not an address" in finding.detail
    assert f"MMPLATFORM_{setting.upper()}" in finding.fix
    assert not [finding for finding in findings if "hunter2" in finding.detail + finding.fix]


def test_configured_servers_are_reached_and_no_password_is_shown(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_port, closed_port = server.getsockname()[1], port_leases.any_free_port()
        own = settings.model_copy(
            update={
                "kafka_bootstrap_servers": f"127.0.0.1:{closed_port},127.0.0.1:{open_port}",
                "chroma_url": f"http://127.0.0.1:{closed_port}",
                "iceberg_catalog": f"postgresql+psycopg2://user:hunter2@127.0.0.1:{open_port}/catalog",
            }
        )
        findings = {finding.check: finding for finding in run_checks(own)}
    assert findings["reach kafka_bootstrap_servers"].status == "ok"
    assert findings["reach chroma_url"].status == "failed"
    assert "MMPLATFORM_CHROMA_URL" in findings["reach chroma_url"].fix
    assert findings["reach iceberg_catalog"].status == "ok"
    assert not [finding for finding in findings.values() if "hunter2" in finding.detail]


def test_the_python_in_use_is_named(settings):
    assert sys.executable in found(settings, "python").detail


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        ({"blob_store_url": "s3:/bad"}, "settings blob_store_url"),
        ({"iceberg_catalog": "mysql://h/db"}, "settings iceberg_catalog"),
        ({"caption_model": "/nowhere"}, "settings caption_model"),
        ({"iceberg_catalog": "postgresql+psycopg2://h:1[/db"}, "settings iceberg_catalog"),
        ({"kafka_bootstrap_servers": "h:1", "kafka_security_protocol": "SASL_SSL"}, "settings kafka_bootstrap_servers"),
    ],
)
def test_a_setting_of_an_unknown_kind_fails_before_a_worker_does(tmp_path, wrong, check):
    found = {finding.check: finding for finding in _stores(load(data_dir=tmp_path, **wrong))}
    assert found[check].status == "failed"
    assert found[check].fix


def test_a_users_own_dagster_home_that_lacks_needed_settings_is_a_warning(settings):
    home = settings.data_dir / "dagster"
    assert found(settings, "dagster.yaml").status == "ok"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    finding = found(settings, "dagster.yaml")
    assert finding.status == "warning"
    assert "default_limit" in finding.detail
    assert finding.fix
    (home / "dagster.yaml").write_text("a: [")
    assert found(settings, "dagster.yaml").status == "failed"


def test_dagsters_database_is_reached_and_its_password_never_shown(settings):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        there = settings.model_copy(
            update={"dagster_postgres_url": SecretStr(f"postgresql+psycopg2://dagster:very-secret@{address}/dagster")}
        )
        assert found(there, "reach dagster_postgres_url").status == "failed"  # bound, and not listening yet
        listening.listen()
        finding = found(there, "reach dagster_postgres_url")
    assert (finding.status, finding.detail) == ("ok", f"{address}: answers")
