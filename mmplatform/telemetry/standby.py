"""Standby: a successor that has loaded everything and waits for its predecessor to stop."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from mmplatform.telemetry.status_server import WorkerStatus

STANDBY: Final = "standby"
"""Body of ``/healthz``, with 503, of a successor in standby; the supervisor reads the word."""

_POLL_INTERVAL_S: Final = 0.1

_log = structlog.get_logger(__name__)


def wait_in_standby(status: WorkerStatus) -> None:
    """Wait, with everything open and loaded, until the predecessor has stopped.

    Both have the same static member id: the one that joins last would fence the other off in mid-batch.
    """
    activated = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: activated.set())
    status.state = STANDBY
    _log.info("standby")
    # Short waits: a signal that arrives as a wait begins, or on another thread, would not end a long one. Python runs
    # the handler only when the main thread runs.
    while not activated.wait(_POLL_INTERVAL_S):
        pass
