"""A worker that hangs is killed and started anew; one that is slow, or that says nothing for a moment, is not."""

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
from tests.local.supervisor.test_child import scene, until  # noqa: F401 - a fixture

PAGE = "http://127.0.0.1:1/livez"
WORKER = """
import http.server, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        hangs = self.path == '/livez' and pathlib.Path('{mark}').exists()
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
    """What ``/livez`` answers: a status and words, or nothing at all."""

    def __init__(self, clock: Clock, *, says_so: bool = True) -> None:
        self.answers: tuple[int, str] | None = (200, "ok")
        self.asked = 0
        self._clock = clock
        self._liveness = LivenessProbe(PAGE, reports_hangs=says_so, clock=clock)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
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


async def test_what_goes_on_is_left_alone_and_asked_now_and_then_only(page):
    assert [await page.after(seconds) for seconds in (0.1, CHECK_INTERVAL_S, 0.1)] == ["", "", ""]
    assert page.asked == 1


async def test_what_says_at_several_looks_that_its_loop_hangs_is_told_with_its_words(page):
    page.answers = (503, "takes up nothing (for 700 s)")
    told = [await page.after(CHECK_INTERVAL_S) for _ in range(MAX_HUNG_CHECKS)]
    assert told == [*[""] * (MAX_HUNG_CHECKS - 1), "takes up nothing (for 700 s)"]


async def test_a_loop_that_goes_on_after_everything_stood_still_is_left_alone(page):
    page.answers = (503, "takes up nothing (for 3600 s)")
    assert await page.after(3600) == ""
    page.answers = (200, "ok")
    assert await page.after(CHECK_INTERVAL_S) == ""
    page.answers = (503, "takes up nothing (for 700 s)")
    assert [await page.after(CHECK_INTERVAL_S) for _ in range(MAX_HUNG_CHECKS - 1)] == [""] * (MAX_HUNG_CHECKS - 1)


@pytest.mark.parametrize("status", [404, 500])
async def test_a_page_of_another_release_kills_nobody(page, status):
    page.answers = (status, "")
    assert await page.after(MAX_SILENCE_S + CHECK_INTERVAL_S) == ""


async def test_a_heartbeat_that_fails_kills_nobody_and_one_that_is_silent_does():
    page = Page(Clock(), says_so=False)
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


async def test_one_look_without_an_answer_after_everything_stood_still_kills_nobody(page):
    page.answers = None
    assert await page.after(3600) == ""


async def test_a_program_without_a_page_always_lives():
    async with httpx.AsyncClient() as client:
        assert await LivenessProbe("").hang_reason(client) == ""


@pytest.mark.parametrize("how", ["says so", "is silent", "is a silent server of others"])
async def test_a_worker_that_hangs_is_killed_and_comes_back(scene, tmp_path, monkeypatch, how):  # noqa: F811
    monkeypatch.setattr(liveness, "CHECK_INTERVAL_S", 0.1)
    monkeypatch.setattr(liveness, "MAX_SILENCE_S", 1.0)
    monkeypatch.setattr(liveness, "MAX_SILENT_CHECKS", 2)
    url, mark = f"http://127.0.0.1:{(port := any_free_port())}", tmp_path / "hangs"
    code = WORKER.replace("{port}", str(port)).replace("{mark}", str(mark)).replace("{", "{{").replace("}", "}}")
    page = {"heartbeat_url": f"{url}/beat"} if how == "is a silent server of others" else {"metrics_url": url}
    child = scene.start(code, probe=HttpProbe(f"{url}/healthz"), **page)
    await until(lambda: child.state == "ready")
    first = child.pid
    if how == "says so":
        mark.touch()
    else:
        os.kill(first, signal.SIGSTOP)
    await until(lambda: child.state == "restarting")
    mark.unlink(missing_ok=True)
    await until(lambda: child.state == "ready")
    assert child.pid != first
    said = "takes up nothing (for 700 s)" if how == "says so" else "its page has not answered for"
    assert any(f"hung and was killed: {said}" in what for _, what, _ in scene.told)
