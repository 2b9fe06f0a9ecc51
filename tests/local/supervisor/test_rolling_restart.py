"""Rolling restarts of a real supervisor over small programs: exclusive services, and successors that fail."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.local import run_file
from mmplatform.local.doctor.idle_derivers import count_derivers, idle_derivers
from mmplatform.local.services.services import StackOptions, parse_derivers, plan_stack
from mmplatform.local.supervisor.handover import successor_service
from mmplatform.local.supervisor.rolling_restart import request_restart
from mmplatform.settings import load
from mmplatform.telemetry.standby import STANDBY
from mmplatform.worker import STOPPED
from tests.waiting import eventually

# Two workers that say over HTTP how they are, and write down when they take up work, are ready and stop. One that finds
# the file `sick` ends at once, one that finds `fails` soon after its turn has come.
SUPERVISOR = """
import sys
from pathlib import Path
from mmplatform.local.launch import run_stack
from mmplatform.local.services.port_leases import any_free_port
from mmplatform.local.services.probes import HttpProbe, TcpProbe
from mmplatform.local.services.services import StackOptions, Service, Stack
from mmplatform.local.status.views import NoView
from mmplatform.settings import Settings

data = Path(sys.argv[1])
WORKER = f'''
import os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
def record(event):
    with open({str(data / "events")!r}, "a") as file:
        file.write(f"{{NAME}} {{event}} {{os.getpid()}}" + chr(10))
if os.path.exists({str(data / "failing")!r}):
    sys.exit(3)
requests, state = [], ["standby" if os.environ.get("MMPLATFORM_STANDBY") else "running"]
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ready = state[0] == "running"
        if ready and self.path == "/readyz":
            requests.append(1)
            ready = len(requests) > 1
            if len(requests) == 2:
                record("ready")
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(state[0].encode())
    def log_message(self, *_):
        pass
def stop(*_):
    record("ends")
    state[0] = "stopped"
    threading.Timer(0.5, os._exit, [0]).start()
def activate(*_):
    state[0] = "running"
    record("works")
    if os.path.exists({str(data / "fails-at-work")!r}):
        threading.Timer(0.3, os._exit, [3]).start()
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGUSR1, activate)
if state[0] == "running":
    record("works")
HTTPServer(("127.0.0.1", int(os.environ["MMPLATFORM_METRICS_PORT"])), Handler).serve_forever()
'''

def worker(name, **more):
    port, spare = any_free_port(), any_free_port()
    return Service(
        name,
        (sys.executable, "-S", "-c", f"NAME = {name!r}" + WORKER),
        {"MMPLATFORM_METRICS_PORT": str(port)},
        HttpProbe(f"http://127.0.0.1:{port}/healthz"),
        metrics_url=f"http://127.0.0.1:{port}",
        successor_port=spare,
        **more,
    )

lone = any_free_port()
command = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(lone))
server = Service("server", command, {}, TcpProbe("127.0.0.1", lone))
stack = Stack((server, worker("both", exclusive=False), worker("turns")), "", "", "", "")
run_stack(Settings(data_dir=data), StackOptions(), NoView(), stack=stack)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One stack for all: each test leaves it ready."""
    folder = tmp_path_factory.mktemp("rolling")
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SUPERVISOR), str(folder)])
    try:
        eventually(lambda: (run := run_file.read_running(folder)) is not None and run.settled, within_s=180)
        yield folder
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def pids(data):
    return {name: service.pid for name, service in run_file.read_running(data).services.items()}


def events(data):
    return [tuple(line.split()) for line in (data / "events").read_text().splitlines()]


def test_each_worker_is_replaced_and_only_one_of_a_name_works(data):
    before, shown = pids(data), {}
    request_restart(data, [], shown.__setitem__)
    after = run_file.read_running(data)
    assert list(shown) == ["turns", "both"], "from the end of the way to its beginning"
    assert shown["both"] == 0.0, "both served meanwhile"
    assert after.services["server"].pid == before["server"], "who has no successor is left alone"
    assert all(after.services[name].pid != before[name] for name in shown)
    assert {service.state for service in after.services.values()} == {"ready"}
    assert sum(service.restarts for service in after.services.values()) == 0, "it did not die"
    found = [(event, int(pid)) for name, event, pid in events(data) if name == "turns"]
    old, new = before["turns"], after.services["turns"].pid
    assert found == [("works", old), ("ends", old), ("works", new), ("ready", new)]
    found = [(event, int(pid)) for name, event, pid in events(data) if name == "both"]
    first, fresh = before["both"], after.services["both"].pid
    assert found == [("works", first), ("works", fresh), ("ready", fresh), ("ends", first)]
    request_restart(data, ["turns"], shown.__setitem__)
    assert pids(data)["turns"] not in {old, new}
    assert pids(data)["both"] == after.services["both"].pid


def test_a_failing_successor_leaves_the_old_process_at_work(data):
    before, recorded = pids(data), events(data)
    (data / "failing").touch()
    with pytest.raises(Unavailable, match=r"turns: the successor .*runs on.*; not restarted: turns, both"):
        request_restart(data, [], lambda *_: None)
    assert pids(data) == before
    assert events(data) == recorded
    (data / "failing").unlink()
    request_restart(data, ["both"], lambda *_: None)
    assert pids(data)["both"] != before["both"]


def test_a_successor_that_fails_at_its_work_ends_the_rolling_restart(data):
    before = pids(data)
    (data / "fails-at-work").touch()
    with pytest.raises(
        Unavailable, match=r"turns: the successor .* after the old process had stopped; not restarted: turns, both"
    ):
        request_restart(data, [], lambda *_: None)
    (data / "fails-at-work").unlink()
    assert pids(data)["both"] == before["both"]
    eventually(lambda: (s := run_file.read_running(data).services["turns"]).state == "ready" and s.restarts == 1, 120)
    request_restart(data, ["turns"], lambda *_: None)


def test_a_successor_that_is_killed_is_started_again(data):
    request_restart(data, ["turns"], lambda *_: None)
    fresh, deaths = pids(data)["turns"], run_file.read_running(data).services["turns"].restarts
    os.kill(fresh, signal.SIGKILL)
    eventually(
        lambda: (s := run_file.read_running(data).services["turns"]).state == "ready" and s.restarts > deaths, 120
    )
    assert pids(data)["turns"] != fresh


def test_a_service_without_a_rolling_restart_is_refused(data, tmp_path):
    with pytest.raises(Misconfigured, match="server has no rolling restart; these services have one: turns, both"):
        request_restart(data, ["server"], lambda *_: None)
    with pytest.raises(Unavailable, match="no stack runs"):
        request_restart(tmp_path / "other", [], lambda *_: None)


def test_every_worker_of_the_stack_has_a_successor_with_its_own_port():
    counted = iter(range(20_000, 30_000))
    stack = plan_stack(load(), StackOptions(parse_derivers("chat=2,call=2")), lambda *_: next(counted))
    workers = {service.name: service for service in stack.services if service.successor_port}
    assert set(workers) == {service.name for service in stack.services} - {"broker", "chroma"}
    assert {name for name, service in workers.items() if not service.exclusive} == {"gateway"}
    assert workers["gateway"].grace_s > 18, "it drains for 10 s, and the log may take 8 s to acknowledge"
    ports = [port for s in workers.values() for port in (s.successor_port, int(s.metrics_url.rpartition(":")[2]))]
    assert len(set(ports)) == len(ports)
    service = workers["derive-chat-1"]
    after = successor_service(service)
    assert after.environment["MMPLATFORM_METRICS_PORT"] == str(service.successor_port)
    assert (
        after.environment["MMPLATFORM_WORKER_INSTANCE_ID"]
        == service.environment["MMPLATFORM_WORKER_INSTANCE_ID"]
        == "1"
    )
    assert successor_service(after) == service, "the two ports change places"


def test_a_successor_on_an_ipv6_address_keeps_its_brackets():
    counted = iter(range(20_000, 30_000))
    stack = plan_stack(load(metrics_host="::1"), StackOptions(), lambda *_: next(counted))
    service = next(service for service in stack.services if service.successor_port)
    after = successor_service(service)
    assert after.metrics_url == f"http://[::1]:{service.successor_port}"
    assert after.probe.url == f"{after.metrics_url}/healthz"
    assert successor_service(after) == service


def test_the_supervisor_and_the_workers_agree_on_the_status_texts():
    from mmplatform.local.services import probes

    assert (probes.STANDBY, probes.STOPPED) == (STANDBY, STOPPED)


def test_a_deriver_without_a_topic_partition_is_noticed():
    names = ["broker", "derive-chat", "derive-chat-1", "derive-call", "index"]
    assert count_derivers(names) == {"chat": 2, "call": 1, "screenshot": 0}
    assert idle_derivers({"chat": (2, 4), "call": (5, 4)}) == {"call": 1}
