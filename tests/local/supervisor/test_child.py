"""One child under supervision, with small real programs."""

import asyncio
import os
import signal

import pytest

from mmplatform.errors import Unavailable
from mmplatform.local.services.port_leases import any_free_port
from mmplatform.local.services.probes import HttpProbe
from mmplatform.local.services.services import Service
from mmplatform.local.supervisor.restart_policy import RestartPolicy
from tests.local.supervisor.scene import EXIT_3, QUICK, SERVE, STUBBORN, is_alive, until


async def test_a_child_is_ready_once_its_port_answers(scene):
    child = scene.start("import time; time.sleep(0.3); " + SERVE)
    await until(lambda: child.state == "starting")
    assert not child.ready.is_set()
    await until(lambda: child.state == "ready")


async def test_an_http_child_is_ready_once_it_answers_without_an_error(scene):
    port = any_free_port()
    code = f"""
import http.server, time
began = time.monotonic()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if time.monotonic() > began + 0.5 else 503)
        self.end_headers()
    def log_message(self, *args): print(*args)
http.server.HTTPServer(('127.0.0.1', {port}), Handler).serve_forever()
"""
    child = scene.start(code.replace("{", "{{").replace("}", "}}"), probe=HttpProbe(f"http://127.0.0.1:{port}/healthz"))
    await until(lambda: child.state == "ready")
    assert " 503 " in child.log.read_text()


async def test_a_killed_child_comes_back_and_is_counted(scene):
    child = scene.start(SERVE)
    await until(lambda: child.state == "ready")
    first = child.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: child.restarts == 1 and child.state == "ready")
    assert child.pid != first
    assert any("SIGKILL" in what for _, what, _ in scene.notes)


async def test_a_child_that_keeps_ending_is_given_up_with_its_last_log_lines_and_a_fix(scene):
    child = scene.start(EXIT_3)
    await until(lambda: child.state == "crash-loop")
    assert child.restarts == QUICK.max_exits - 1
    assert child.pid is None
    assert "exit code 3" in child.problem
    assert "the last line" in child.problem
    assert "mmplatform logs worker" in child.problem


async def test_a_given_up_child_can_be_retried(scene, tmp_path):
    mended = tmp_path / "mended"
    child = scene.start(f"import os, sys; os.path.exists({str(mended)!r}) or sys.exit(1); " + SERVE)
    await until(lambda: child.state == "crash-loop")
    mended.touch()
    child.retry()
    await until(lambda: child.state == "ready")
    assert child.problem == ""


async def test_a_program_that_does_not_exist_is_given_up_like_any_other(scene):
    child = scene.start("")
    child.service = Service("worker", ("/no/such/program",), {}, child.service.probe)
    await until(lambda: child.state == "crash-loop")
    assert "No such file" in child.problem


async def test_a_child_whose_log_has_no_room_ends_like_any_other(scene, tmp_path):
    (tmp_path / "worker.log").symlink_to("/dev/full")
    child = scene.start(SERVE)
    await until(lambda: child.state == "crash-loop")
    assert "No space left on device" in child.problem
    assert "make room" in child.problem


async def test_a_child_that_is_never_ready_is_killed_and_its_exit_counts(scene):
    child = scene.start("import time; time.sleep(60)", start_timeout_s=0.2)
    await until(lambda: child.restarts == 1)
    assert any("was not ready after" in what for _, what, _ in scene.notes)


async def test_a_child_waits_for_its_needs_and_waits_again_after_both_ended(scene):
    broker = scene.start(SERVE, name="broker", policy=RestartPolicy(first_delay_s=1.0))
    worker = scene.start(SERVE, needs=[broker])
    await until(lambda: worker.state == "ready")
    os.kill(broker.pid, signal.SIGKILL)
    await until(lambda: broker.state == "restarting")
    os.kill(worker.pid, signal.SIGKILL)
    await until(lambda: worker.state == "waiting")
    assert worker.pid is None
    await until(lambda: worker.state == "ready")
    assert (broker.restarts, worker.restarts) == (1, 1)


async def test_a_service_after_one_that_was_given_up_starts_all_the_same(scene):
    hopeless = scene.start(EXIT_3, name="hopeless")
    later = scene.start(SERVE, name="later", after=[hopeless])
    await until(lambda: later.state == "ready")
    assert hopeless.state == "crash-loop"


async def test_a_child_whose_need_is_given_up_is_settled_and_names_the_cause(scene):
    broker = scene.start(EXIT_3, name="broker")
    worker = scene.start(SERVE, name="worker", needs=[broker])
    blocked = scene.start(SERVE, name="blocked", needs=[worker])
    ui = scene.start(SERVE, name="ui", after=[broker, worker, blocked])
    await until(lambda: ui.state == "ready")
    assert (broker.state, worker.state, blocked.state) == ("crash-loop", "blocked", "blocked")
    assert "broker" in worker.problem
    assert "worker" in blocked.problem
    assert worker.pid is None


async def test_a_blocked_child_goes_on_once_its_need_is_retried(scene, tmp_path):
    mended = tmp_path / "mended"
    broker = scene.start(
        f"import os, sys; os.path.exists({str(mended)!r}) or sys.exit(1); " + SERVE, name="broker", policy=QUICK
    )
    worker = scene.start(SERVE, needs=[broker])
    await until(lambda: worker.state == "blocked")
    mended.touch()
    broker.retry()
    await until(lambda: worker.state == "ready")
    assert (worker.restarts, worker.problem) == (0, "")


async def test_a_stopped_child_may_finish_its_work(scene):
    code = (
        "import signal, sys, time\n"
        "def drain(*_): time.sleep(0.3); print('drained', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, drain)\n"
    )
    child = scene.start(code + SERVE)
    await until(lambda: child.state == "ready")
    await scene.stop()
    assert child.state == "stopped"
    assert "drained" in child.log.read_text()


async def test_a_child_that_does_not_stop_is_killed_after_its_grace_period(scene):
    child = scene.start(STUBBORN, grace_s=0.2)
    await until(lambda: child.state == "ready")
    pid = child.pid
    await scene.stop()
    assert not is_alive(pid)
    assert any("did not stop within" in what for _, what, _ in scene.notes)


async def test_force_ends_the_grace_period(scene):
    child = scene.start(STUBBORN, grace_s=3600)
    await until(lambda: child.state == "ready")
    pid = child.pid
    scene.force.set()
    await scene.stop()
    assert not is_alive(pid)


async def test_grandchildren_end_with_their_parent(scene):
    family = (
        "import subprocess, sys\n"
        "grandchild = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])\n"
        "print('grandchild', grandchild.pid, flush=True)\n"
    )
    child = scene.start(family + SERVE)
    await until(lambda: child.state == "ready")
    grandchild = int(child.log.read_text().rsplit("grandchild ", 1)[1].split()[0])
    assert is_alive(grandchild)
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: child.restarts == 1)
    assert not is_alive(grandchild)


async def test_a_child_gets_its_environment_over_the_supervisors_and_no_terminal(scene, monkeypatch):
    monkeypatch.setenv("OURS", "kept")
    child = scene.start("import os, sys; print(os.environ['OURS'], os.environ['GREETING'], repr(sys.stdin.read()))")
    await until(lambda: child.restarts == 1)
    assert "kept hello ''" in child.log.read_text()


async def test_a_piped_standard_input_stays_open_until_the_child_is_reaped(scene):
    child = scene.start(
        "import sys, threading; " + SERVE.replace("time.sleep(60)", "sys.stdin.read()"), pipe_stdin=True
    )
    await until(lambda: child.state == "ready")
    await asyncio.sleep(0.3)
    assert child.state == "ready"


async def test_any_failure_of_a_successor_leaves_the_child_supervised(scene):
    child = scene.start(SERVE, metrics_url="http://[no-address", successor_port=1)
    await until(lambda: child.state == "ready")
    first = child.pid
    with pytest.raises(Unavailable, match="worker: ValueError"):
        await asyncio.wait_for(child.restart(), 20)
    assert child.pid == first
    os.kill(first, signal.SIGKILL)
    await until(lambda: child.restarts == 1 and child.state == "ready")
