"""A worker that hangs is killed and restarted; one that is slow, or silent for a moment, is not."""

from __future__ import annotations

import os
import signal

import httpx
import pytest

from mmplatform.local.services.port_leases import any_free_port
from mmplatform.local.services.probes import HttpProbe
from mmplatform.local.supervisor import liveness
from mmplatform.local.supervisor.liveness import (
    CHECK_INTERVAL_S,
    MAX_HUNG_CHECKS,
    MAX_SILENCE_S,
    MAX_SILENT_CHECKS,
    LivenessProbe,
)
from tests.local.supervisor.scene import until

PAGE = "http://127.0.0.1:1/livez"
WORKER = """
import http.server, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        hangs = self.path == '/livez' and pathlib.Path('{marker}').exists()
        self.send_response(503 if hangs else 200)
        self.end_headers()
        self.wfile.write(b'takes up nothing (for 700 s)' if hangs else b'ok')
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(('127.0.0.1', {port}), Handler).serve_forever()
"""


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class Page:
    """Answers of ``/livez``: a status and text, or none."""

    def __init__(self, clock: Clock, *, reports_hangs: bool = True) -> None:
        self.answers: tuple[int, str] | None = (200, "ok")
        self.requests = 0
        self._clock = clock
        self._liveness = LivenessProbe(PAGE, reports_hangs=reports_hangs, clock=clock)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.answers is None:
            raise httpx.ReadTimeout("silent", request=request)
        return httpx.Response(self.answers[0], text=self.answers[1])

    async def after(self, seconds: float) -> str:
        self._clock.now += seconds
        async with httpx.AsyncClient(transport=httpx.MockTransport(self._answer)) as client:
            return await self._liveness.hang_reason(client)


@pytest.fixture
def page():
    return Page(Clock())


async def test_a_live_process_is_checked_once_per_interval(page):
    assert [await page.after(seconds) for seconds in (0.1, CHECK_INTERVAL_S, 0.1)] == ["", "", ""]
    assert page.requests == 1


async def test_a_process_that_reports_a_hang_at_several_checks_is_killed_with_its_reason(page):
    page.answers = (503, "takes up nothing (for 700 s)")
    reasons = [await page.after(CHECK_INTERVAL_S) for _ in range(MAX_HUNG_CHECKS)]
    assert reasons == [*[""] * (MAX_HUNG_CHECKS - 1), "takes up nothing (for 700 s)"]


async def test_a_loop_that_goes_on_after_everything_stood_still_is_not_killed(page):
    page.answers = (503, "takes up nothing (for 3600 s)")
    assert await page.after(3600) == ""
    page.answers = (200, "ok")
    assert await page.after(CHECK_INTERVAL_S) == ""
    page.answers = (503, "takes up nothing (for 700 s)")
    assert [await page.after(CHECK_INTERVAL_S) for _ in range(MAX_HUNG_CHECKS - 1)] == [""] * (MAX_HUNG_CHECKS - 1)


@pytest.mark.parametrize("status", [404, 500])
async def test_an_answer_of_another_release_kills_no_process(page, status):
    page.answers = (status, "")
    assert await page.after(MAX_SILENCE_S + CHECK_INTERVAL_S) == ""


async def test_a_failing_heartbeat_kills_no_process_and_a_silent_one_does():
    page = Page(Clock(), reports_hangs=False)
    page.answers = (503, "starting up")
    assert [await page.after(CHECK_INTERVAL_S) for _ in range(3 * MAX_HUNG_CHECKS)] == [""] * (3 * MAX_HUNG_CHECKS)
    page.answers = None
    silence = [await page.after(MAX_SILENCE_S / MAX_SILENT_CHECKS) for _ in range(MAX_SILENT_CHECKS)]
    assert [*silence, await page.after(CHECK_INTERVAL_S)] == [
        *[""] * MAX_SILENT_CHECKS,
        "its page has not answered for 125 s",
    ]


async def test_silence_counts_only_when_it_lasts_and_from_the_last_answer_on(page):
    page.answers = None
    nearly = [await page.after(MAX_SILENCE_S / MAX_SILENT_CHECKS) for _ in range(MAX_SILENT_CHECKS)]
    page.answers = (200, "ok")
    assert [*nearly, await page.after(CHECK_INTERVAL_S)] == [""] * (MAX_SILENT_CHECKS + 1)
    page.answers = None
    again = [await page.after(MAX_SILENCE_S / MAX_SILENT_CHECKS) for _ in range(MAX_SILENT_CHECKS)]
    assert [*again, await page.after(CHECK_INTERVAL_S)] == [
        *[""] * MAX_SILENT_CHECKS,
        "its page has not answered for 125 s",
    ]


async def test_one_check_without_an_answer_after_everything_stood_still_kills_no_process(page):
    page.answers = None
    assert await page.after(3600) == ""


async def test_a_program_without_a_url_always_counts_as_live():
    async with httpx.AsyncClient() as client:
        assert await LivenessProbe("").hang_reason(client) == ""


@pytest.mark.parametrize("how", ["reports it", "is silent", "is a silent foreign server"])
async def test_a_worker_that_hangs_is_killed_and_comes_back(scene, tmp_path, monkeypatch, how):
    monkeypatch.setattr(liveness, "CHECK_INTERVAL_S", 0.1)
    monkeypatch.setattr(liveness, "MAX_SILENCE_S", 1.0)
    monkeypatch.setattr(liveness, "MAX_SILENT_CHECKS", 2)
    url, marker = f"http://127.0.0.1:{(port := any_free_port())}", tmp_path / "hangs"
    code = WORKER.replace("{port}", str(port)).replace("{marker}", str(marker)).replace("{", "{{").replace("}", "}}")
    page = {"heartbeat_url": f"{url}/beat"} if how == "is a silent foreign server" else {"metrics_url": url}
    child = scene.start(code, probe=HttpProbe(f"{url}/healthz"), **page)
    await until(lambda: child.state == "ready")
    first = child.pid
    if how == "reports it":
        marker.touch()
    else:
        os.kill(first, signal.SIGSTOP)
    await until(lambda: child.state == "restarting")
    marker.unlink(missing_ok=True)
    await until(lambda: child.state == "ready")
    assert child.pid != first
    reason = "takes up nothing (for 700 s)" if how == "reports it" else "its page has not answered for"
    assert any(f"hung and was killed: {reason}" in message for _, message, _ in scene.notes)
