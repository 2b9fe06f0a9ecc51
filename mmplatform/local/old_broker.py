"""Runs the embedded broker on the data directory of another, stopped stack, to read its log."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.local.run_file import StackLock

_PATIENCE_S: Final = 60.0


@contextmanager
def running_old_broker(data_dir: Path) -> Iterator[str]:
    """Address of a broker on the log in ``data_dir``, while the block runs; the directory is locked meanwhile.

    Raises:
        Misconfigured: there is no log.
        Permanent: a stack runs on the directory.
        Unavailable: the broker does not start.
    """
    folder = data_dir / "broker"
    if not folder.is_dir():
        raise Misconfigured(f"{data_dir} has no log of an embedded broker: name the older release's data directory")
    lock = StackLock(data_dir.absolute())
    lock.acquire()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            port_file = Path(temporary) / "port"
            command = [sys.executable, "-m", "mmplatform.local.broker", "--data", str(folder), "--port", "0"]
            command += ["--port-file", str(port_file), "--exit-with-stdin"]
            with subprocess.Popen(command, stdin=subprocess.PIPE) as broker:
                try:
                    yield f"127.0.0.1:{_wait_for_port(broker, port_file)}"
                finally:
                    broker.terminate()
    finally:
        lock.release()


def _wait_for_port(broker: subprocess.Popen[bytes], port_file: Path) -> int:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and broker.poll() is None:
        if port_file.is_file() and (text := port_file.read_text().strip()):
            return int(text)
        time.sleep(0.05)
    raise Unavailable("the broker on the older log did not start")
