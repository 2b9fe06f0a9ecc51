"""The gateway's HTTP server: uvicorn that drains on a signal and reports its readiness."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

from mmplatform.telemetry.readiness import DRAINING, Readiness

LISTENER: Final = "gateway"
DRAINING_REASON: Final = "finishes open requests and accepts no more"


class GatewayServer(uvicorn.Server):
    """Uvicorn that ends normally after draining: it would raise the signal again and so end the whole process."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], readiness: Readiness) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._readiness = readiness

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and report the listener as ready."""
        await super().startup(sockets)
        if self.started:
            self._readiness.unblock(LISTENER)
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain on SIGTERM and SIGINT, within the event loop."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._stop)
        yield

    def _stop(self, *_: Any) -> None:
        self._readiness.block(DRAINING, DRAINING_REASON)
        self.should_exit = True
