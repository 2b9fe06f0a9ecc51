"""The running stack as Dagster sees it: the log's backlog, the index, and what the index worker measures. Read only.

Addresses come from the settings; where those leave the embedded parts open, from the run file of the stack that runs
on the data directory. Without one every method says what is unreachable: that is never the same as nothing there.
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
from mmplatform.settings import Settings
from quality.checks.verdict import Backlog
from resources.base import ConfiguredResource

if TYPE_CHECKING:
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.local.run_file import StackRun
    from mmplatform.local.status.worker_status import WorkerStatusPayload

ANSWER_S: Final = 5.0
"""How long the broker or a worker may take: a sensor asks several and is ended after 60 s."""

READ_S: Final = 20.0
"""For all topics together: the one that was begun goes on beyond, 25 s at the most, and then there is time left."""

_INDEX: Final = "index"


@dataclass(frozen=True, slots=True)
class Reader:
    """A consumer group and the topic that it reads, by the platform's own names."""

    group: str
    topic: str


class RunningResource(ConfiguredResource):
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


class ReplayLogResource(RunningResource):
    """The replay log: what waits on it, and for whom."""

    def log(self) -> ReplayLog:
        """The read side of the replay log. Raises ``Unavailable``, ``Misconfigured``."""
        from mmplatform.kafka.reader import ReplayLog

        settings = self.settings()
        if not settings.kafka_bootstrap_servers:
            raise Unavailable(_nowhere("the replay log", "kafka_bootstrap_servers", settings))
        return ReplayLog(settings, timeout_s=ANSWER_S)

    def backlog(
        self, readers: Iterable[Reader], *, within_s: float = READ_S, clock: Callable[[], float] = time.monotonic
    ) -> dict[Reader, Backlog]:
        """What waits for each reader.

        Args:
            readers: who reads what.
            within_s: when no further reader is begun.
            clock: seconds that only grow.

        Raises:
            Unavailable: the broker does not answer, or too slowly.
            Misconfigured: a setting is wrong, or a topic was never made.
        """
        prefix, log = self.settings().topic_prefix, self.log()
        give_up = clock() + within_s
        found: dict[Reader, Backlog] = {}
        for each in readers:
            if clock() >= give_up:
                raise Unavailable(f"the broker is too slow: after {within_s:.0f} s not all topics were looked at")
            found[each] = _backlog(log, each, prefix, utc_now())
        return found

    def lag(self, readers: Iterable[Reader]) -> dict[Reader, int]:
        """How many records each reader is behind; looks at no record. Raises ``Unavailable``, ``Misconfigured``."""
        prefix, log = self.settings().topic_prefix, self.log()
        topics: dict[str, list[str]] = {}
        for each in dict.fromkeys(readers):
            topics.setdefault(each.group, []).append(each.topic)
        found: dict[Reader, int] = {}
        for group, names in topics.items():
            behind = log.lag(f"{prefix}{group}", [f"{prefix}{name}" for name in names])
            found |= {Reader(group, name): sum(behind[f"{prefix}{name}"].values()) for name in names}
        return found

    def done(self, reader: Reader) -> dict[tuple[str, int], int]:
        """How far a reader is: its next offset in each topic partition. Raises ``Unavailable``, ``Misconfigured``."""
        prefix, log = self.settings().topic_prefix, self.log()
        topic = f"{prefix}{reader.topic}"
        places = log.progress(f"{prefix}{reader.group}", [topic])[topic]
        return {(reader.topic, number): place.next_offset for number, place in places.items()}


class IndexResource(RunningResource):
    """The index of passages."""

    @contextmanager
    def index(self) -> Iterator[ChromaIndex]:
        """The index, closed behind the block. Raises ``Unavailable``, ``Misconfigured``."""
        from mmplatform.land.index.store import ChromaIndex

        settings = self.settings()
        if not settings.chroma_url:
            raise Unavailable(_nowhere("the index", "chroma_url", settings))
        index = ChromaIndex.open(settings)
        try:
            yield index
        finally:
            index.close()


class StackResource(ReplayLogResource, IndexResource):
    """Both, and what the running stack measures of itself."""

    def measured(self) -> WorkerStatusPayload:
        """What the index worker measures: the gap of each modality and each stage's share.

        Raises:
            Unavailable: no stack runs here and the settings name no such worker, or the worker does not answer.
        """
        import httpx
        from pydantic import ValidationError

        from mmplatform.local.status.worker_status import WorkerStatusPayload
        from mmplatform.proxy import loopback_mounts

        settings = self.settings()
        run = None if settings.index_status_url else self._run(settings)
        service = None if run is None else run.services.get(_INDEX)
        address = settings.index_status_url or (service.metrics_url if service else "")
        if not address:
            raise Unavailable(_nowhere("the index worker's status page", "index_status_url", settings))
        url = f"{address}/status"
        try:
            with httpx.Client(timeout=ANSWER_S, mounts=loopback_mounts(url)) as client:
                return WorkerStatusPayload.model_validate_json(client.get(url).raise_for_status().content)
        except (httpx.HTTPError, ValidationError) as error:
            raise Unavailable(
                f"the index worker does not answer at {url} ({type(error).__name__}): see `mmplatform status`"
            ) from error


def _nowhere(what: str, setting: str, settings: Settings) -> str:
    mend = f", or set MMPLATFORM_{setting.upper()}" if setting else ""
    return f"{what} is unreachable: no stack runs on {settings.data_dir} (`mmplatform up`{mend})"


def _backlog(log: ReplayLog, reader: Reader, prefix: str, now: datetime) -> Backlog:
    topic = f"{prefix}{reader.topic}"
    places = log.progress(f"{prefix}{reader.group}", [topic])[topic]
    behind = {number: place.next_offset for number, place in places.items() if place.next_offset < place.high}
    if not behind:
        return Backlog(lag=0)
    # The first of each topic partition: the log's timestamps are those of ingestion.
    firsts = log.read(topic, behind, {number: offset + 1 for number, offset in behind.items()})
    oldest = min((entry.timestamp for entry in firsts), default=now)
    lag = sum(place.high - place.next_offset for place in places.values())
    return Backlog(lag=lag, waiting_s=max((now - oldest).total_seconds(), 0.0))
