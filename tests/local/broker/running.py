"""An embedded broker as a process that a test may stop, kill and start again on the same data."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self


class BrokerProcess:
    """Port and data stay the same over restarts; the process dies with its standard input, so with the test."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "broker.log"
        self.port = 0
        self._forgotten = 0
        self._arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command(self.data, self.port), "--port-file", str(port_file), "--exit-with-stdin", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the broker did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.01)
        self.port = int(port_file.read_text())
        return self

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """End the process with a signal and wait for it; its exit code."""
        if self.process is None:
            return 0
        assert self.process.stdin is not None
        if self.process.poll() is None:
            self.process.send_signal(by)
        code = self.process.wait(20)
        self.process.stdin.close()
        return code

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def events(self) -> list[dict[str, object]]:
        """The log lines since they were last forgotten."""
        lines = self.log.read_text()[self._forgotten :].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def forget_events(self) -> None:
        self._forgotten = len(self.log.read_text())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.end()


def command(data: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "mmplatform.local.broker", "--data", str(data), "--port", str(port)]
