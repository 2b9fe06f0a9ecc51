import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mmplatform.errors import Permanent, Unavailable
from mmplatform.events import utc_now
from mmplatform.local import launch, log_files, run_file
from mmplatform.local.launch import dagster_location, raise_file_limit, retry_failed_services, run_detached
from mmplatform.settings import Settings
from tests.waiting import eventually


def test_a_supervisor_that_cannot_start_is_reported_with_its_last_lines(tmp_path):
    with pytest.raises(Permanent, match=r"exit code 1.*\n.*--derivers: `video=1`"):
        run_detached(Settings(data_dir=tmp_path), ["--derivers", "video=1"], lambda _run: None)
    assert "video=1" in log_files.log_path(tmp_path, "supervisor").read_text()


def test_a_start_that_takes_too_long_names_what_is_not_ready_and_its_log(tmp_path):
    arguments = ["--no-dagster", "--derivers", "chat=0,call=0,screenshot=0"]
    with pytest.raises(Unavailable, match=r"not ready after 0 s: .*log .*runs on.*mmplatform down"):
        run_detached(Settings(data_dir=tmp_path), arguments, lambda _run: None, timeout_s=0.0)
    eventually(lambda: run_file.read_running(tmp_path) is not None, within_s=120)
    assert launch.stop_stack(tmp_path, force=True, timeout_s=90) is not None


def test_the_message_of_a_late_start_lists_each_pending_service_only():
    states = {"broker": "ready", "derive-chat": "starting", "dagster": "waiting", "index": "crash-loop"}
    services = {
        name: run_file.ServiceRun(pid=1, state=state, restarts=0, metrics_url="", log=f"/logs/{name}.log")
        for name, state in states.items()
    }
    run = run_file.StackRun(
        pid=1, started_at=utc_now(), data_dir="", gateway="", kafka="", chroma="", dagster="", services=services
    )
    message = launch._pending_message(run, Path("/logs/supervisor.log"), 30.0)
    assert "derive-chat (starting), log /logs/derive-chat.log; dagster (waiting), log /logs/dagster.log." in message
    assert "broker" not in message
    assert "index" not in message


def test_retrying_needs_a_running_stack(tmp_path):
    with pytest.raises(Unavailable, match="mmplatform up"):
        retry_failed_services(tmp_path)


def test_a_stack_that_does_not_stop_in_time_is_reported_with_the_fix(tmp_path):
    code = (
        "import os, pathlib, signal, sys, time\n"
        "from mmplatform.events import utc_now\n"
        "from mmplatform.local import run_file\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"data = pathlib.Path({str(tmp_path)!r})\n"
        "run_file.StackLock(data).acquire()\n"
        "run_file.write(data, run_file.StackRun(pid=os.getpid(), started_at=utc_now(), data_dir='', gateway='',"
        " kafka='', chroma='', dagster='', services={}))\n"
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(Unavailable, match=rf"pid {process.pid}.*down --now.*kill -9 {process.pid}"):
            launch.stop_stack(tmp_path, force=False, timeout_s=0.3)
        assert run_file.is_locked(tmp_path)
        process.kill()


def test_the_workspace_file_at_hand_names_the_code_location(tmp_path):
    (tmp_path / "workspace.yaml").touch()
    assert dagster_location(tmp_path) == (("-w", str(tmp_path / "workspace.yaml")), tmp_path)


def test_the_limit_of_open_files_is_raised_as_far_as_allowed():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
        expected = (
            launch.OPEN_FILES_TARGET
            if before[1] == resource.RLIM_INFINITY
            else min(launch.OPEN_FILES_TARGET, before[1])
        )
        assert raise_file_limit() == expected
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
