"""moto's server (wheel ``moto``) in the place of AWS Glue: the API with its checks, without an account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import answers, free_ports, program, running


@contextmanager
def running_glue(log: Path) -> Iterator[str]:
    """Its address; the catalog is empty and gone with the block."""
    [port] = free_ports(1)
    command = [program("moto_server", fix="pip install 'moto[glue,server]'"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log=log, ready=answers(port, "/moto-api/")):
        yield f"http://127.0.0.1:{port}"
