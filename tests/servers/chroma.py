"""A real ``chroma run`` server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import answers, free_ports, program, running


@contextmanager
def running_chroma(folder: Path, port: int | None = None) -> Iterator[str]:
    """Its address, ``http://127.0.0.1:port``. The same folder and port again: the same server after a restart."""
    chroma = program("chroma", fix="pip install chromadb")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_ports(1)[0]
    command = [chroma, "run", "--path", str(folder / "data"), "--host", "127.0.0.1", "--port", str(port)]
    ready = answers(port, "/api/v2/heartbeat")
    with running(command, log=folder / "chroma.log", ready=ready, cwd=folder, env={"ANONYMIZED_TELEMETRY": "False"}):
        yield f"http://127.0.0.1:{port}"
