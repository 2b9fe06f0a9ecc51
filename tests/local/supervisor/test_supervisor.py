"""Whole supervisors, run as real processes over tiny programs: signals, kill -9, orphans, locks, ports, run files."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mmplatform.local import launch, run_file
from mmplatform.local.run_file import StackRun
from mmplatform.local.supervisor.processes import cookie_value, find_by_cookie

# A stack of three: a server whose standard input is held, a worker that needs it, and one that starts a daemon.
# Each appends its name to the file `order` when it stops.
SUPERVISOR = """
import sys
from pathlib import Path
from mmplatform.local.launch import run_stack
from mmplatform.local.services.port_leases import any_free_port
from mmplatform.local.services.probes import TcpProbe
from mmplatform.local.supervisor.restart_policy import RestartPolicy
from mmplatform.local.services.services import StackOptions, Service, Stack
from mmplatform.local.status.views import PlainView
from mmplatform.settings import Settings
from rich.console import Console

data, stubborn = Path(sys.argv[1]), "stubborn" in sys.argv
ORDER = f'''
import signal, socket, subprocess, sys, time
def stop(*_):
    open({str(data / "order")!r}, "a").write(NAME + chr(10))
    STUBBORN or sys.exit(0)
signal.signal(signal.SIGTERM, stop)
open({str(data)!r} + "/starts-" + NAME, "a").write("x")
if NAME == "family":
    code = "import time; time.sleep(60)"
    subprocess.Popen([sys.executable, "-S", "-c", code])
    subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
server = socket.create_server(("127.0.0.1", PORT))
while True: time.sleep(1)
'''

def service(name, **more):
    port = any_free_port()
    code = f"NAME, PORT, STUBBORN = {name!r}, {port}, {stubborn}" + ORDER
    return Service(name, (sys.executable, "-S", "-c", code), {}, TcpProbe("127.0.0.1", port), grace_s=60.0, **more)

services = (service("server", pipe_stdin=True), service("worker", needs=("server",)), service("family"))
stack = Stack(services, "http://127.0.0.1:1", "127.0.0.1:2", "http://127.0.0.1:3", "")
settings = Settings(data_dir=data)
run_stack(settings, StackOptions(), PlainView(Console()), stack=stack, policy=RestartPolicy(first_delay_s=0.05))
"""


class SupervisorProcess:
    """One supervisor process and what can be seen of it."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SUPERVISOR), str(data), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self) -> StackRun:
        deadline = time.monotonic() + 10  # a run file is written after the first line of output
        while (found := run_file.read_running(self.data)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found is not None
        return found

    def ready(self) -> "SupervisorProcess":
        until(lambda: self.process.poll() is not None or self.all_ready())
        assert self.process.poll() is None
        return self

    def all_ready(self) -> bool:
        found = run_file.read_running(self.data)
        return found is not None and {service.state for service in found.services.values()} == {"ready"}

    def carriers(self) -> list[psutil.Process]:
        prefix = cookie_value(self.data, "")
        return [
            process
            for process in find_by_cookie(lambda cookie: cookie.startswith(prefix))
            if process.status() != psutil.STATUS_ZOMBIE
        ]

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output.decode()


def until(holds: Callable[[], bool], patience_s: float = 30) -> None:
    give_up = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path):
    begun: list[SupervisorProcess] = []

    def start(*arguments: str) -> SupervisorProcess:
        begun.append(SupervisorProcess(tmp_path, *arguments))
        return begun[-1]

    yield start
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()
    for carrier in begun[0].carriers():
        carrier.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_in_the_reverse_order_with_exit_code_0(start, tmp_path, number):
    supervisor = start().ready()
    assert len(supervisor.carriers()) == 5
    supervisor.process.send_signal(number)
    code, output = supervisor.end()
    assert code == 0
    order = (tmp_path / "order").read_text().split()
    assert order.index("worker") < order.index("server")
    assert supervisor.carriers() == []
    assert not (tmp_path / "run" / "stack.json").exists()
    assert "server: ready after" in output
    assert "supervisor: stopped" in (tmp_path / "logs" / "supervisor.log").read_text()


def test_a_second_signal_kills_at_once(start):
    supervisor = start("stubborn").ready()
    supervisor.process.send_signal(signal.SIGINT)
    until((supervisor.data / "order").exists)  # asked once, and they do not stop
    supervisor.process.send_signal(signal.SIGINT)
    assert supervisor.end()[0] == 0
    assert supervisor.carriers() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent-death signal is Linux's")
def test_a_supervisor_killed_with_9_together_with_its_reaper_leaves_no_child_behind(start):
    supervisor = start().ready()
    (reaper,) = (
        process
        for process in psutil.Process(supervisor.process.pid).children()
        if "mmplatform.local.supervisor.orphan_reaper" in process.cmdline()
    )
    supervisor.process.send_signal(signal.SIGSTOP)  # so that it does not start another one
    reaper.kill()
    children = [psutil.Process(service.pid) for service in supervisor.run().services.values()]
    supervisor.process.kill()
    ended, alive = psutil.wait_procs(children, timeout=20)
    assert (len(ended), alive) == (3, [])


def test_no_grandchild_outlives_a_killed_supervisor_even_in_its_own_session(start):
    supervisor = start("stubborn").ready()
    family = psutil.Process(supervisor.run().services["family"].pid)
    grandchildren = family.children(recursive=True)
    assert len(grandchildren) == 2
    supervisor.process.kill()
    _, alive = psutil.wait_procs([family, *grandchildren], timeout=20)
    assert alive == []


def test_after_kill_9_of_everything_the_next_up_goes_on(start, tmp_path):
    first = start("stubborn").ready()
    pid = first.run().pid
    assert pid == first.process.pid
    for process in [*psutil.Process(pid).children(), psutil.Process(pid)]:  # the reaper too
        process.kill()
    first.process.wait()
    assert run_file.read_running(tmp_path) is None
    assert run_file.read(tmp_path) is not None
    second = start().ready()
    assert second.run().pid == second.process.pid
    # The escaped grandchild of the first run went before the second began.
    assert len(second.carriers()) == 5


def test_a_killed_child_is_restarted_on_its_own_and_counted_in_the_run_file(start, tmp_path):
    supervisor = start().ready()
    before = supervisor.run().services
    os.kill(before["server"].pid, signal.SIGKILL)
    until(lambda: supervisor.all_ready() and supervisor.run().services["server"].restarts == 1)
    after = supervisor.run().services
    assert after["server"].pid != before["server"].pid
    assert after["worker"].pid == before["worker"].pid
    assert (tmp_path / "starts-server").read_text() == "xx"
    assert (tmp_path / "starts-worker").read_text() == "x"


def test_a_full_disk_stops_no_service_and_the_run_file_is_written_later(start, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "supervisor.log").symlink_to("/dev/full")
    supervisor = start().ready()
    draft = tmp_path / "run" / "stack.json.tmp"
    draft.symlink_to("/dev/full")
    os.kill(supervisor.run().services["server"].pid, signal.SIGKILL)
    until(lambda: (tmp_path / "starts-server").read_text() == "xx")
    assert supervisor.run().services["server"].restarts == 0
    draft.unlink()
    until(lambda: supervisor.all_ready() and supervisor.run().services["server"].restarts == 1)
    supervisor.process.send_signal(signal.SIGTERM)
    code, output = supervisor.end()
    assert code == 0
    assert output.count("cannot write the run file: No space left on device") == 1
    assert output.count("supervisor.log: No space left on device") == 1
    assert sorted((tmp_path / "order").read_text().split()) == ["family", "server", "worker"]
    assert supervisor.carriers() == []


def test_a_stack_that_cannot_write_its_run_file_is_not_started(start, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json.tmp").symlink_to("/dev/full")
    supervisor = start()
    code, output = supervisor.end()
    assert code == 1
    assert "Permanent: cannot run the stack" in output
    assert "No space left on device" in output
    assert not (tmp_path / "starts-server").exists()


def test_the_run_file_reports_which_service_is_stopping(start):
    supervisor = start("stubborn").ready()
    supervisor.process.send_signal(signal.SIGTERM)
    until(lambda: supervisor.run().services["worker"].state == "stopping")
    supervisor.process.send_signal(signal.SIGTERM)
    assert supervisor.end()[0] == 0


def test_a_killed_reaper_is_replaced(start):
    supervisor = start().ready()

    def leashes() -> list[psutil.Process]:
        children = psutil.Process(supervisor.process.pid).children()
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child for child in children if "mmplatform.local.supervisor.orphan_reaper" in child.cmdline()]
        return []

    (first,) = leashes()
    first.kill()
    until(lambda: [reaper.pid for reaper in leashes()] not in ([], [first.pid]))


def test_a_second_stack_on_the_same_data_is_refused_and_the_first_goes_on(start):
    first = start().ready()
    code, output = start().end()
    assert code == 1
    assert f"pid {first.process.pid} since" in output
    assert first.all_ready()


def test_the_run_file_reports_all_addresses_until_the_stack_is_stopped(start, tmp_path):
    supervisor = start().ready()
    found = json.loads((tmp_path / "run" / "stack.json").read_text())
    assert (found["gateway"], found["kafka"]) == ("http://127.0.0.1:1", "127.0.0.1:2")
    for name, service in found["services"].items():
        assert psutil.pid_exists(service["pid"])
        assert Path(service["log"]) == tmp_path / "logs" / f"{name}.log"
        assert f"=== {name} started at" in Path(service["log"]).read_text()
    assert launch.stop_stack(tmp_path, force=False, timeout_s=30) == supervisor.process.pid
    assert not run_file.is_locked(tmp_path)
    assert supervisor.end()[0] == 0
    assert launch.stop_stack(tmp_path, force=False, timeout_s=30) is None


def test_a_stack_goes_on_when_the_reader_of_its_output_has_ended(start):
    supervisor = start()
    assert supervisor.process.stdout is not None
    supervisor.process.stdout.close()
    supervisor.process.stdout = None
    supervisor.ready()
    supervisor.process.send_signal(signal.SIGTERM)
    assert supervisor.process.wait(timeout=30) == 0
    assert supervisor.carriers() == []
