"""The worker ``canary``: figures on its status page, and a clean end."""

from __future__ import annotations

import signal
import threading
from functools import partial
from typing import Final

from mmplatform.pipeline.canary.figures import CanaryFigures
from mmplatform.pipeline.canary.service import open_runner, run_for_ever
from mmplatform.settings import Settings
from mmplatform.telemetry.readiness import Readiness
from mmplatform.telemetry.standby import wait_in_standby
from mmplatform.telemetry.status_server import WorkerStatus

_LOOP_TIMEOUT_S: Final = 300.0
"""The old blobs and collections of a day are deleted within it."""


def run_worker(settings: Settings, status: WorkerStatus) -> None:
    """Run canaries until SIGTERM or SIGINT; one that is under way is given up. Raises Misconfigured."""
    status.readiness = Readiness({})  # it reads no topic, and waits for no store
    figures = CanaryFigures(status.registry)
    status.watch_canaries(figures.payload)
    if settings.standby:
        wait_in_standby(status)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with open_runner(settings, figures, stopped=stopped) as runner:
        status.state = "running"
        run_for_ever(settings, runner, stopped, partial(status.readiness.heartbeat, _LOOP_TIMEOUT_S))
