"""A real broker for tests: the embedded one in a process of its own, or the Kafka that MMPLATFORM_TEST_KAFKA names."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

from mmplatform.errors import PlatformError
from mmplatform.kafka.reader import ReplayLog
from mmplatform.settings import load
from tests.servers.process import free_ports, running

FOREIGN = os.environ.get("MMPLATFORM_TEST_KAFKA", "")


@contextmanager
def broker_process(folder: Path, port: int):
    """The embedded broker as a process that a test may kill."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mmplatform.local.broker", "--data", str(folder / "data"), "--port", str(port)]
    view = ReplayLog(load(kafka_bootstrap_servers=f"127.0.0.1:{port}"), timeout_s=1.0)

    def ready() -> bool:
        try:
            view.check_reachable()
        except PlatformError:
            return False
        return True

    with running(command, log=folder / "broker.log", ready=ready) as process:
        yield process


@contextmanager
def embedded_broker(folder: Path, port: int | None = None):
    """Its address. The same folder and port again: the same broker after a restart."""
    port = port or free_ports(1)[0]
    with broker_process(folder, port):
        yield f"127.0.0.1:{port}"


def any_broker(folder: Path):
    return nullcontext(FOREIGN) if FOREIGN else embedded_broker(folder)
