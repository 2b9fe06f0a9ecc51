import resource
import subprocess
import sys

import pytest

from mmplatform.errors import Permanent, Unavailable
from mmplatform.local import launch, log_files, run_file
from mmplatform.local.launch import dagster_location, raise_file_limit, retry_failed_services, run_detached
from mmplatform.settings import Settings


def test_a_supervisor_that_cannot_start_is_reported_with_its_last_lines(tmp_path):
    with pytest.raises(Permanent, match=r"exit code 1.*\n.*--derivers: `video=1`"):
        run_detached(Settings(data_dir=tmp_path), ["--derivers", "video=1"], lambda _run: None)
    assert "video=1" in log_files.log_path(tmp_path, "supervisor").read_text()


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
