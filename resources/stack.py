"""The running stack as Dagster resources: the log's backlog, the index, and the index worker's status. Read only.

Addresses come from the settings; where those leave the embedded parts open, from the run file of the stack that runs
on the data directory. Without one every method raises ``Unavailable``: unreachable never passes for empty.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.modalities import INDEX_GROUP
from mmplatform.settings import Settings
from quality.checks.backlog import Backlog
from resources.base import ConfiguredResource

if TYPE_CHECKING:
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.local.run_file import StackRun
    from mmplatform.local.status.worker_status import WorkerStatusPayload

ANSWER_S: Final = 5.0
"""Timeout of the broker or a worker: a sensor asks several and is ended after 60 s."""

RUN_ANSWER_S: Final = 60.0
"""Timeout of the broker in a run, which nothing ends after a minute."""

READ_S: Final = 20.0
"""For all topics together: a started one is read to its end, 25 s at the most, and the tick still has time left."""

_INDEX: Final = "index"
_CANARY: Final = "canary"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer group and the topic that it reads, by the platform's own names."""

    group: str
    topic: str


class RunningStackResource(ConfiguredResource):
    """Finds the stack by the same settings as its own processes."""

    def settings(self) -> Settings:
        """The platform's settings, with the addresses of the running stack. Raises ``Misconfigured``."""
        given = super().settings()
        run = self._run(given)
        own = {} if run is None else {"kafka_bootstrap_servers": run.kafka, "chroma_url": run.chroma}
        return given.model_copy(
            update={name: address for name, address in own.items() if address and not getattr(given, name)}
        )

    @staticmethod
    def _run(settings: Settings) -> StackRun | None:
        from mmplatform.local.run_file import read_running

        return read_running(settings.data_dir)


class ReplayLogResource(RunningStackResource):
    """The replay log: backlog, lag and committed offsets of consumer groups."""

    @contextmanager
    def log(self, *, timeout_s: float = ANSWER_S) -> Iterator[ReplayLog]:
        """The read side of the replay log, closed behind the block. Raises ``Unavailable``, ``Misconfigured``."""
        from mmplatform.kafka.reader import ReplayLog

        settings = self.settings()
        if not settings.kafka_bootstrap_servers:
            raise Unavailable(_unreachable("the replay log", "kafka_bootstrap_servers", settings))
        with ReplayLog(settings, timeout_s=timeout_s) as log:
            yield log

    def backlog(
        self,
        subscriptions: Iterable[Subscription],
        *,
        within_s: float = READ_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> dict[Subscription, Backlog]:
        """The backlog of each subscription.

        Args:
            subscriptions: consumer groups and their topics.
            within_s: no further subscription is begun after this.
            clock: seconds that only grow.

        Raises:
            Unavailable: the broker does not answer, or too slowly.
            Misconfigured: a setting is wrong, or a topic does not exist.
        """
        settings = self.settings()
        deadline = clock() + within_s
        backlogs: dict[Subscription, Backlog] = {}
        with self.log() as log:
            for subscription in subscriptions:
                if clock() >= deadline:
                    raise Unavailable(f"the broker is too slow: after {within_s:.0f} s not all topics were read")
                backlogs[subscription] = _backlog(log, subscription, settings, utc_now())
        return backlogs

    def lag(self, subscriptions: Iterable[Subscription]) -> dict[Subscription, int]:
        """The lag of each subscription in records; reads no record. Raises ``Unavailable``, ``Misconfigured``."""
        prefix = self.settings().topic_prefix
        topics: dict[str, list[str]] = {}
        for subscription in dict.fromkeys(subscriptions):
            topics.setdefault(subscription.group, []).append(subscription.topic)
        lags: dict[Subscription, int] = {}
        with self.log() as log:
            for group, names in topics.items():
                group_lag = log.lag(f"{prefix}{group}", [f"{prefix}{name}" for name in names])
                lags |= {Subscription(group, name): sum(group_lag[f"{prefix}{name}"].values()) for name in names}
        return lags

    def log_generation(self) -> int:
        """Generation of the log that the offsets are of."""
        return self.settings().log_generation

    def committed_offsets(self, subscription: Subscription) -> dict[tuple[str, int], int]:
        """The next offset in each topic partition. Raises ``Unavailable``, ``Misconfigured``."""
        prefix = self.settings().topic_prefix
        topic = f"{prefix}{subscription.topic}"
        with self.log() as log:
            progress = log.progress(f"{prefix}{subscription.group}", [topic])[topic]
        return {(subscription.topic, number): position.next_offset for number, position in progress.items()}


class IndexResource(RunningStackResource):
    """The index of passages."""

    @contextmanager
    def index(self) -> Iterator[ChromaIndex]:
        """The index, closed behind the block. Raises ``Unavailable``, ``Misconfigured``."""
        from mmplatform.land.index.store import ChromaIndex

        settings = self.settings()
        if not settings.chroma_url:
            raise Unavailable(_unreachable("the index", "chroma_url", settings))
        index = ChromaIndex.open(settings)
        try:
            yield index
        finally:
            index.close()


class StackResource(ReplayLogResource, IndexResource):
    """Replay log, index and the index worker's status."""

    def services_not_ready(self) -> dict[str, str]:
        """State of each service of the stack on this machine that is not ready, by its name.

        Empty where no stack runs on the data directory: other deployments tell Dagster of no worker's state, and a
        worker that stopped shows as lag.
        """
        stack = self._run(self.settings())
        services = {} if stack is None else stack.services
        return {name: run.state for name, run in services.items() if run.state != "ready"}

    def index_worker_status(self) -> WorkerStatusPayload:
        """The index worker's measurements: the gap of each modality and each stage's share.

        Raises:
            Unavailable: no stack runs here and the settings name no such worker, or the worker does not answer.
        """
        return self._worker_status(_INDEX, self.settings().index_status_url, "index_status_url")

    def canary_status(self) -> WorkerStatusPayload:
        """Figures of the canaries' process. Raises as :meth:`index_worker_status`."""
        return self._worker_status(_CANARY, self.settings().canary_status_url, "canary_status_url")

    def _worker_status(self, worker: str, named: str, setting: str) -> WorkerStatusPayload:
        import httpx
        from pydantic import ValidationError

        from mmplatform.local.status.worker_status import WorkerStatusPayload
        from mmplatform.proxy import loopback_mounts

        settings = self.settings()
        run = None if named else self._run(settings)
        service = None if run is None else run.services.get(worker)
        address = named or (service.metrics_url if service else "")
        if not address:
            raise Unavailable(_unreachable(f"the {worker} worker's status page", setting, settings))
        url = f"{address}/status"
        try:
            with httpx.Client(timeout=ANSWER_S, mounts=loopback_mounts(url)) as client:
                return WorkerStatusPayload.model_validate_json(client.get(url).raise_for_status().content)
        except (httpx.HTTPError, ValidationError) as error:
            raise Unavailable(
                f"the {worker} worker does not answer at {url} ({type(error).__name__}): see `mmplatform status`"
            ) from error


def _unreachable(service: str, setting: str, settings: Settings) -> str:
    remedy = f", or set MMPLATFORM_{setting.upper()}" if setting else ""
    return f"{service} is unreachable: no stack runs on {settings.data_dir} (`mmplatform up`{remedy})"


def _backlog(log: ReplayLog, subscription: Subscription, settings: Settings, now: datetime) -> Backlog:
    topic = f"{settings.topic_prefix}{subscription.topic}"
    progress = log.progress(f"{settings.topic_prefix}{subscription.group}", [topic])[topic]
    is_batched = subscription.group == INDEX_GROUP and settings.tail_is_followed
    batching_s = settings.index_commit_interval_s if is_batched else 0.0
    lagging = {
        number: position.next_offset for number, position in progress.items() if position.next_offset < position.high
    }
    if not lagging:
        return Backlog(lag=0)
    # The first record of each topic partition: the log's timestamps are those of ingestion.
    firsts = log.read(topic, lagging, {number: offset + 1 for number, offset in lagging.items()})
    oldest = min((entry.timestamp for entry in firsts), default=now)
    lag = sum(position.high - position.next_offset for position in progress.values())
    return Backlog(lag=lag, waiting_s=max((now - oldest).total_seconds(), 0.0), batching_s=batching_s)
