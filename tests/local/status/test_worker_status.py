import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from mmplatform.local.services.port_leases import any_free_port
from mmplatform.local.services.probes import local_client
from mmplatform.local.status.worker_status import ProcessMeter, WorkerStatusPayload, query_workers

GOOD = {"state": "running", "lag": None, "rate": 2.5, "freshness": {"chat": {"gap": {"p50": 0.1}}}}
ANSWERS = {
    "/good": (200, json.dumps(GOOD | {"extra": [1]}).encode()),
    "/broken": (200, b"<html>"),
    "/failing": (500, b"{}"),
}


@pytest.fixture
def url():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = ANSWERS[self.path.removesuffix("/status")]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_worker_without_a_valid_answer_spoils_no_other_row(url):
    urls = {
        "good": f"{url}/good",
        "broken": f"{url}/broken",
        "failing": f"{url}/failing",
        "silent": f"http://127.0.0.1:{any_free_port()}",
    }
    async with local_client() as client:
        found = await query_workers(client, urls)
    assert found == {"good": WorkerStatusPayload.model_validate(GOOD)}


def test_a_process_is_measured_with_its_children():
    code = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', 'input()'], stdin=sys.stdin);"
        "print('up', flush=True); input()"
    )
    command = [sys.executable, "-S", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        alone, together = (
            ProcessMeter().measure(process.pid),
            ProcessMeter().measure(process.pid, include_children=True),
        )
        process.kill()
    assert alone is not None
    assert together is not None
    assert together.rss > alone.rss > 0
    assert ProcessMeter().measure(process.pid) is None


def test_cpu_is_counted_since_the_last_measurement():
    meter = ProcessMeter()
    first = meter.measure(os.getpid())
    assert first is not None
    assert first.cpu == 0
    sum(range(3_000_000))
    second = meter.measure(os.getpid())
    assert second is not None
    assert second.cpu > 0
