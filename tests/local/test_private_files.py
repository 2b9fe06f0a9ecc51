"""Nothing in the data directory has bits for group or others, whatever umask a process was started with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mmplatform.local import run_file
from mmplatform.local.doctor.doctor import _data_dir
from mmplatform.settings import Settings
from mmplatform.settings.private_files import loose_mode, restrict_data_dir
from tests.waiting import eventually

LOOSE_UMASK = 0o002

WORKER = """
import sys
from mmplatform import worker
from mmplatform.events import utc_now
from mmplatform.local import log_files, run_file
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.pipeline.factories import open_memo

def run(settings):
    open_blobs(settings).put(b"bytes", media_type="text/plain")
    open_memo(settings).put_many("d@1", {"a": b"1"})
    Lakehouse.open(settings).ensure_tables()
    run_file.StackLock(settings.data_dir).acquire()
    run_file.write(settings.data_dir, run_file.StackRun(pid=1, started_at=utc_now(), data_dir="", gateway="", kafka="",
                                                        chroma="", dagster="", services={}))
    log = log_files.log_path(settings.data_dir, "index")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("ready")

worker.WORKERS["index"] = run
sys.exit(worker.main(["index"]))
"""


def open_to_others(folder: Path) -> list[str]:
    return [
        f"{path.relative_to(folder)} {path.stat().st_mode & 0o777:o}"
        for path in (folder, *folder.rglob("*"))
        if path.stat().st_mode & 0o077
    ]


def start(data_dir: Path, *command: str, **options) -> subprocess.Popen[str]:
    environment = {**os.environ, "MMPLATFORM_DATA_DIR": str(data_dir)}
    return subprocess.Popen(
        [sys.executable, *command], env=environment, umask=LOOSE_UMASK, text=True, stdout=subprocess.PIPE, **options
    )


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    return folder


def test_a_worker_writes_private_files_and_restricts_a_directory_of_before(data_dir):
    worker = start(data_dir, "-c", WORKER)
    worker.communicate(timeout=120)
    assert worker.returncode == 0
    names = {path.name for path in data_dir.rglob("*")}
    assert names >= {"memo.sqlite", "memo.key", "stack.json", "stack.lock", "index.log", "blobs"}
    assert any(path.suffix == ".json" and "metadata" in path.name for path in data_dir.rglob("*"))
    assert open_to_others(data_dir) == []


@pytest.mark.broker
def test_a_broker_that_is_started_alone_writes_private_files(data_dir):
    log, port_file = data_dir / "broker", data_dir / "broker.port"
    broker = start(
        data_dir, "-m", "mmplatform.local.broker", "--data", str(log), "--port", "0", "--port-file", str(port_file)
    )
    try:
        eventually(port_file.exists, 60)
    finally:
        broker.terminate()
        broker.communicate(timeout=60)
    assert list(log.iterdir())
    assert open_to_others(log) == []
    assert port_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.stack
def test_the_command_line_starts_a_supervisor_with_private_files(data_dir):
    arguments = ("--no-dagster", "--derivers", "chat=0,call=0,screenshot=0")
    up = start(data_dir, "-m", "mmplatform", "up", "--detach", *arguments, stderr=subprocess.PIPE)
    try:
        eventually(lambda: run_file.read_running(data_dir) is not None, 60)
    finally:
        start(data_dir, "-m", "mmplatform", "down", "--now", stderr=subprocess.PIPE).communicate(timeout=120)
        up.communicate(timeout=60)
    assert not run_file.is_locked(data_dir)
    assert (data_dir / "logs" / "supervisor.log").exists()
    assert open_to_others(data_dir) == []


def test_models_and_schemas_are_written_for_all(tmp_path):
    out = tmp_path / "schemas"
    command = start(tmp_path / "data", "-m", "mmplatform", "schemas", "--out", str(out), stderr=subprocess.PIPE)
    command.communicate(timeout=120)
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o664}


def test_a_directory_of_another_user_is_left_with_a_warning(data_dir, monkeypatch):
    def refuse(_path, _mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with capture_logs() as logs:
        restrict_data_dir(data_dir)
    assert [(log["log_level"], log["path"]) for log in logs] == [("warning", str(data_dir))]


def test_the_doctor_reports_a_data_directory_that_others_may_read(data_dir):
    [finding] = _data_dir(Settings(data_dir=data_dir))
    assert (finding.status, finding.fix.split(";")[0]) == ("warning", f"chmod 700 {data_dir}")
    assert "0755" in finding.detail
    restrict_data_dir(data_dir)
    assert loose_mode(data_dir) is None
    [finding] = _data_dir(Settings(data_dir=data_dir))
    assert finding.status == "ok"
