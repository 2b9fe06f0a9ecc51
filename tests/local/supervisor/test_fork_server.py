"""The fork server: what it imports starts no thread, and a worker that it forks is a child like any other."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mmplatform.local.supervisor.fork_server import READY, ForkRequest
from mmplatform.local.supervisor.forked import ForkServer
from mmplatform.local.supervisor.preload import STAGES, stage_number
from mmplatform.local.supervisor.processes import COOKIE_VARIABLE
from mmplatform.worker import WORKERS
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked on Linux only")

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
WORKER = """
import os, sys, time

def main(names):
    found = os.environ.get("GREETING"), os.environ.get("ABSENT"), os.getsid(0) == os.getpid()
    print("starts", names[0], *found, flush=True)
    print(names[0], "chromadb", "chromadb" in sys.modules, flush=True)
    print(names[0], "hypothesis", sys.modules.get("hypothesis", "not blocked"), flush=True)
    if names[0] == "ends":
        return 3
    time.sleep(600)
    return 0
"""


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "worker.log"


@pytest.fixture
def start_server(tmp_path):
    """A server that finds the module ``worker_of_a_test``; ended with the test."""
    (tmp_path / "worker_of_a_test.py").write_text(WORKER)
    servers: list[ForkServer] = []

    def start(workers: int = 1, on_end=lambda _: None) -> ForkServer:
        path = os.pathsep.join((str(tmp_path), *filter(None, sys.path)))
        environment = {**ONE_THREAD, "PYTHONPATH": path, "ABSENT": "x", COOKIE_VARIABLE: "cookie of a test"}
        servers.append(ForkServer(environment, tmp_path / "server.log", workers, on_end))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def request(log: Path, name: str) -> ForkRequest:
    command = (sys.executable, "-m", "worker_of_a_test", name)
    return ForkRequest(command, {"GREETING": "hello", "PATH": os.environ["PATH"]}, str(log), str(log.parent))


def test_no_import_of_the_fork_server_starts_a_thread():
    """After each module, so that the one that starts a thread is named."""
    program = """
from mmplatform.local.supervisor.processes import COOKIE_VARIABLE
from mmplatform.local.supervisor.preload import STAGES, count_threads, preload
for stage in STAGES:
    for name in stage.modules:
        preload(name)
        print(name, count_threads())
"""
    environment = {**os.environ, **ONE_THREAD}
    lines = subprocess.check_output([sys.executable, "-c", program], text=True, env=environment, timeout=300)
    assert len(lines.splitlines()) > 10
    assert [line for line in lines.splitlines() if not line.endswith(" 1")] == []


def test_every_worker_has_a_stage_and_the_derivers_have_the_first():
    stages = {name: stage_number(name) for name in WORKERS}
    assert {name for name, stage in stages.items() if stage == 0} == {name for name in WORKERS if "derive-" in name}
    assert max(stages.values()) == len(STAGES) - 1


def test_a_worker_of_the_first_stage_is_forked_before_the_server_has_imported_what_others_need(start_server, log):
    server = start_server(workers=2)

    async def start():
        return await asyncio.gather(*(server.start_worker(request(log, name)) for name in ("runs", "derive-early")))

    late, early = asyncio.run(start())
    eventually(lambda: log.read_text().count("starts") == 2, within_s=60)
    assert log.read_text().index("derive-early chromadb False") < log.read_text().index("runs chromadb True")
    for process in (late, early):
        process.send_signal(signal.SIGKILL)
        process.wait(60)


def test_a_server_that_announces_a_stage_with_a_workers_pid_forks_the_next_worker_too(start_server, log, monkeypatch):
    server = start_server(workers=2)
    receive = socket.socket.recv

    def receive_late(control, size):
        """As on a busy machine: the supervisor reads the pid when the server has gone on."""
        if control.gettimeout():
            eventually(lambda: READY in receive(control, size, socket.MSG_PEEK), within_s=60)
        return receive(control, size)

    async def start():
        early = await server.start_worker(request(log, "derive-early"))
        monkeypatch.undo()
        return early, await server.start_worker(request(log, "runs"))

    monkeypatch.setattr("mmplatform.local.supervisor.forked.socket.socket.recv", receive_late)
    processes = asyncio.run(start())
    assert None not in processes
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait(60)


def test_a_forked_worker_is_a_child_with_its_own_name_session_environment_and_exit_code(start_server, log):
    ended_servers = []
    server = start_server(workers=2, on_end=ended_servers.append)
    server_pid = server.pid

    async def start():
        return [await server.start_worker(request(log, name)) for name in ("ends", "runs")]

    ended, running = asyncio.run(start())
    assert ended.wait(60) == 3
    process = psutil.Process(running.pid)
    eventually(lambda: log.read_text().count("starts") == 2, within_s=60)
    assert "starts runs hello None True" in log.read_text()
    assert "runs hypothesis None" in log.read_text()
    assert process.ppid() == os.getpid()
    assert " ".join(process.cmdline()).split() == [sys.executable, "-m", "worker_of_a_test", "runs"]
    assert process.environ()[COOKIE_VARIABLE] == "cookie of a test", "by it the stack finds its processes"
    assert server.pid is None  # it has ended, and the worker runs on
    assert ended_servers == [server_pid], "its number may belong to another process soon"
    assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    assert running.wait(60) == -signal.SIGKILL
    running.send_signal(signal.SIGTERM)  # no error once it has ended


def test_a_worker_starts_by_itself_when_the_server_has_been_killed(start_server, log):
    server = start_server(workers=2)
    os.kill(server.pid, signal.SIGKILL)
    assert asyncio.run(server.start_worker(request(log, "runs"))) is None
    assert not log.exists()


def test_a_forked_worker_ends_with_its_supervisor(tmp_path, log):
    (tmp_path / "worker_of_a_test.py").write_text(WORKER)
    program = f"""
import asyncio, sys, time
from pathlib import Path
from mmplatform.local.supervisor.forked import ForkServer
from tests.local.supervisor.test_fork_server import request
server = ForkServer({ONE_THREAD!r}, Path({str(tmp_path / "server.log")!r}), 1)
server.start()
print(asyncio.run(server.start_worker(request(Path({str(log)!r}), "runs"))).pid, flush=True)
time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), *filter(None, sys.path)))}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert psutil.pid_exists(pid)
        supervisor.kill()
        eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", within_s=60)
