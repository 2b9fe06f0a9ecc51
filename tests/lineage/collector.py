"""Somebody who collects lineage over HTTP, and the ways in which they may fail to."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Collector:
    """What was posted: events, and the requests' paths and headers. ``status`` is what is answered."""

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.status = 201
        self.location = ""
        self.hang = threading.Event()
        self.let_go = threading.Event()

    def of_job(self, job: str, state: str | None = None) -> list[dict]:
        """The events of one job."""
        return [
            event for event in list(self.events) if event["job"]["name"] == job and state in {None, event["eventType"]}
        ]


@contextmanager
def collecting():
    """A collector and its address."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests.append((self.path, dict(self.headers)))
            if found.hang.is_set():
                found.let_go.wait(60)
                return
            if found.status < 300:
                found.events.append(json.loads(body))
            self.send_response(found.status)
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Keep pytest's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        found.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join(20)
