"""Canaries of a running platform: a few for ever, or many at once.

A canary costs what an event costs, in all processes together. Measured on two busy cores: a chat 0.12 s of processor, a
screenshot 5.0 s, a call 1.6 s. At a chat a minute, and a screenshot and a call each half hour, that is 0.6% of a core.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from mmplatform.errors import PlatformError
from mmplatform.events import Modality, Position, utc_now
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import count_topic_partitions, topic_name
from mmplatform.modalities import MODALITIES
from mmplatform.pipeline.canary.conversations import TopicPartitions
from mmplatform.pipeline.canary.doors import SOURCE, PublicDoors
from mmplatform.pipeline.canary.figures import CanaryFigures
from mmplatform.pipeline.canary.probe import TIMEOUT_S, CanaryProbe, CanaryReport, new_canary
from mmplatform.pipeline.canary.retention import delete_old_canaries
from mmplatform.pipeline.canary.samples import new_nonce
from mmplatform.settings import Settings
from mmplatform.telemetry.logs import safe_error_fields

_log = structlog.get_logger(__name__)
FIRST_S: Final[dict[Modality, float]] = {"chat": 5.0, "screenshot": 120.0, "call": 240.0}
"""Seconds from the start to the first canary: a stack that has just started has other things to do."""

_RETENTION_INTERVAL_S: Final = 6 * 3_600.0
_RETENTION_FIRST_S: Final = 600.0
_POLL_S: Final = 0.5
"""Python runs the handler of a signal only between two waits of the main thread."""


def gateway_address(settings: Settings) -> str:
    """Address of the gateway that canaries are sent to."""
    host = settings.gateway_host
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    local = f"http://[{host}]:{settings.gateway_port}" if ":" in host else f"http://{host}:{settings.gateway_port}"
    return settings.canary_gateway_url or local


class CanaryRunner:
    """Runs canaries, one for each call. Thread-safe.

    Args:
        settings: the keys and the log of the installation.
        probe: sends and searches.
        figures: gets each report.
    """

    def __init__(self, settings: Settings, probe: CanaryProbe, figures: CanaryFigures) -> None:
        self._probe = probe
        self._figures = figures
        self._stem = new_nonce()
        self._partitions = {
            modality: TopicPartitions(partial(count_topic_partitions, settings, [spec.topic]), SOURCE)
            for modality, spec in MODALITIES.items()
        }

    def run(self, modality: Modality) -> CanaryReport | None:
        """One canary in the next topic partition, to its end; None when it was stopped, or the log is away."""
        # Each call is a conversation of its own.
        stem = f"canary-{new_nonce() if modality == 'call' else self._stem}"
        try:
            conversation_id = self._partitions[modality].next_conversation(stem)
        except PlatformError as error:
            _log.warning("canary not sent: the topic partitions are not known", reason=str(error))
            return None
        report = self._probe.run(new_canary(modality, conversation_id, lambda nonce: (f"canary-{nonce}",)))
        if report is not None:
            self._figures.record(report)
        return report


@contextmanager
def open_runner(
    settings: Settings,
    figures: CanaryFigures,
    *,
    stopped: threading.Event | None = None,
    gateway_url: str = "",
    timeout_s: float = TIMEOUT_S,
) -> Iterator[CanaryRunner]:
    """A runner over the public doors of the settings, closed behind the block. Raises Misconfigured.

    ``gateway_url``: of the one that is asked instead, also for searches.
    """
    gateway = gateway_url or gateway_address(settings)
    doors = PublicDoors(settings, gateway, gateway_url or settings.canary_search_url or gateway)
    probe = CanaryProbe(
        doors,
        partial(read_append_time, settings),
        on_false_receipt=figures.record_false_receipt,
        stopped=stopped,
        timeout_s=timeout_s,
    )
    try:
        yield CanaryRunner(settings, probe, figures)
    finally:
        doors.close()


def read_append_time(settings: Settings, position: Position) -> datetime | None:
    """Time at which the broker appended an event, by the log's clock; None: the log does not answer."""
    number, offset = position.topic_partition, position.offset
    try:
        with ReplayLog(settings) as log:
            entries = log.read(topic_name(settings, position.topic), {number: offset}, {number: offset + 1})
            return next((entry.timestamp for entry in entries), None)
    except PlatformError as error:
        _log.warning("the append time of a canary is not known", reason=str(error))
        return None


def run_many(
    runner: CanaryRunner,
    count: int,
    *,
    threads: int,
    modality: Modality = "chat",
    stopped: threading.Event | None = None,
) -> None:
    """Run so many canaries as fast as so many threads can; those that are left are dropped once stopped."""
    is_stopped = stopped or threading.Event()

    def run(_: int) -> None:
        if not is_stopped.is_set():
            _run_safely(runner, modality)

    with ThreadPoolExecutor(threads, thread_name_prefix="canary") as pool:
        list(pool.map(run, range(count)))


def run_for_ever(
    settings: Settings, runner: CanaryRunner, stopped: threading.Event, heartbeat: Callable[[], None]
) -> None:
    """Run canaries at the intervals of the settings, and delete old ones, until stopped.

    Its threads are at their end when it returns or raises: they would keep the process alive.
    """
    media = settings.canary_media_interval_s if settings.canary_interval_s else 0.0
    intervals: dict[Modality, float] = {"chat": settings.canary_interval_s, "screenshot": media, "call": media}
    threads = [
        threading.Thread(target=_repeat, args=(runner, modality, interval_s, stopped), name=f"canary-{modality}")
        for modality, interval_s in intervals.items()
        if interval_s
    ]
    for thread in threads:
        thread.start()
    try:
        due_at = time.monotonic() + _RETENTION_FIRST_S
        while not stopped.wait(_POLL_S):
            heartbeat()
            if time.monotonic() >= due_at:
                due_at = time.monotonic() + _RETENTION_INTERVAL_S
                _delete_old(settings)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _repeat(runner: CanaryRunner, modality: Modality, interval_s: float, stopped: threading.Event) -> None:
    pause_s = min(FIRST_S[modality], interval_s)
    while not stopped.wait(pause_s):
        started = time.monotonic()
        _run_safely(runner, modality)
        pause_s = max(interval_s - (time.monotonic() - started), 0.0)


def _run_safely(runner: CanaryRunner, modality: Modality) -> None:
    try:
        runner.run(modality)
    except Exception as error:  # noqa: BLE001 - without its thread a modality would be watched no more
        _log.error("canary failed", modality=modality, **safe_error_fields(error))


def _delete_old(settings: Settings) -> None:
    try:
        deleted = delete_old_canaries(settings, utc_now())
    except PlatformError as error:
        _log.warning("old canaries are not deleted yet", reason=str(error))
    except Exception as error:  # noqa: BLE001 - canaries go on, and the next deletion has these too
        _log.error("old canaries are not deleted", **safe_error_fields(error))
    else:
        _log.info("old canaries deleted", blobs=deleted.blobs, collections=deleted.collections)
